"""Train the hippocampus network on the Medical Segmentation Decathlon's Task04, on a CPU.

Usage: ``python models/hippocampus/train.py DATA [--epochs 80] [--work build/hippocampus]``.
DATA holds ``images/`` and ``labels/``. Run again, it goes on from its last checkpoint. When the
last epoch is done, ``export.py`` makes the averaged weights the package's network: the last ones,
not the ones that did best on the validation cases.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import torch
from augment import augment
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from network import CLASSES, PATCH, build_network

from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.intensity import prepare

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
STEPS = read_declaration(HERE / "model.toml").input.intensity
SEED = 20240917
VALIDATION_CASES = 40
BATCH = 4
PEAK_RATE = 2e-3
WARM_UP = 0.1
AVERAGING = 0.997
"""Share of the old weights that one step leaves in the averaged weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One case: the normalised image and its label map, both in RAS order."""

    name: str
    image: torch.Tensor
    label: torch.Tensor


def load_examples(folder: Path, names: list[str]) -> list[Example]:
    """Return the named cases; the files are in RAS order already, at 1 mm."""
    examples = []
    for name in names:
        image = nib.load(folder / "images" / f"{name}.nii.gz").get_fdata()
        label = nib.load(folder / "labels" / f"{name}.nii.gz").get_fdata()
        examples.append(
            Example(
                name=name,
                image=torch.from_numpy(prepare(image, STEPS)),
                label=torch.from_numpy(label.astype(np.int64)),
            )
        )
    return examples


def split_cases(folder: Path) -> dict[str, list[str]]:
    """Return the committed split; write it when there is none."""
    path = HERE / "split.json"
    if not path.exists():
        names = sorted(f.name.removesuffix(".nii.gz") for f in (folder / "images").iterdir())
        order = np.random.default_rng(SEED).permutation(names).tolist()
        split = {
            "train": sorted(order[VALIDATION_CASES:]),
            "validation": sorted(order[:VALIDATION_CASES]),
        }
        path.write_text(json.dumps(split, indent=1) + "\n")
    return json.loads(path.read_text())


def cut_patch(example: Example, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and label at a random place in a patch, padded with 0 where there is none."""
    image, label = torch.zeros(PATCH), torch.zeros(PATCH, dtype=torch.int64)
    source, target = [], []
    for have, want in zip(example.image.shape, PATCH, strict=True):
        start = int(torch.randint(abs(have - want) + 1, (1,), generator=rng))
        length = min(have, want)
        source.append(slice(start, start + length) if have > want else slice(length))
        target.append(slice(length) if have > want else slice(start, start + length))
    image[tuple(target)] = example.image[tuple(source)]
    label[tuple(target)] = example.label[tuple(source)]
    return image, label


def dice_of(network: nn.Module, examples: list[Example]) -> np.ndarray:
    """Return Dice, shape (cases, foreground classes); NaN where a class is in neither map."""
    network.eval()
    table = np.full((len(examples), CLASSES - 1), np.nan)
    for row, example in zip(table, examples, strict=True):
        with torch.inference_mode():
            logits = sliding_window_inference(
                example.image[None, None], PATCH, 1, network, overlap=0.5, mode="gaussian"
            )
        found = logits[0].argmax(0)
        for number in range(1, CLASSES):
            ours, theirs = found == number, example.label == number
            row[number - 1] = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
    return table


def learning_rate(done: float) -> float:
    """Return the rate when a share `done` of the training is over: a short rise, a cosine down."""
    if done < WARM_UP:
        return PEAK_RATE * (0.1 + 0.9 * done / WARM_UP)
    return PEAK_RATE * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


class Training:
    """Network, optimiser, averaged weights and random state: all that a checkpoint holds."""

    _PARTS = ("network", "optimiser", "averaged")

    def __init__(self, epochs: int) -> None:
        torch.manual_seed(SEED)
        self.network = build_network().to(memory_format=torch.channels_last_3d)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=0.02)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
        )
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True, include_background=False)
        self.rng = torch.Generator().manual_seed(SEED)
        self.epoch, self.epochs = 0, epochs

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Return the loss of one batch after learning from it."""
        images = images.to(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images)
        loss = self.loss(logits.float(), labels[:, None])
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        self.optimiser.step()
        self.averaged.update_parameters(self.network)
        return float(loss.detach())

    def run_epoch(self, examples: list[Example]) -> float:
        """Return the mean loss over one pass through the cases in random order."""
        self.network.train()
        order = torch.randperm(len(examples), generator=self.rng).tolist()
        losses = []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            done = (self.epoch + start / len(order)) / self.epochs
            self.optimiser.param_groups[0]["lr"] = learning_rate(done)
            cuts = [cut_patch(examples[i], self.rng) for i in order[start : start + BATCH]]
            images = torch.stack([image for image, _ in cuts])[:, None]
            labels = torch.stack([label for _, label in cuts])
            losses.append(self.step(*augment(images, labels, self.rng)))
        self.epoch += 1
        return float(np.mean(losses))

    def save(self, path: Path) -> None:
        """Write everything that `restore` needs, in one move."""
        parts = {name: getattr(self, name).state_dict() for name in self._PARTS}
        fresh = path.with_suffix(".new")
        torch.save({**parts, "rng": self.rng.get_state(), "epoch": self.epoch}, fresh)
        fresh.replace(path)

    def restore(self, path: Path) -> None:
        """Go on where `save` stood."""
        state = torch.load(path, weights_only=True)
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        self.epoch = state["epoch"]


def train(data: Path, work: Path, epochs: int) -> Training:
    """Return the finished training; every tenth epoch logs Dice on the validation cases."""
    split = split_cases(data)
    examples = load_examples(data, split["train"])
    held_out = load_examples(data, split["validation"])
    training = Training(epochs)
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        training.restore(checkpoint)
        write_line(work, f"going on after epoch {training.epoch}, to {epochs}")
    started = time.monotonic()
    while training.epoch < epochs:
        loss = training.run_epoch(examples)
        line = f"epoch {training.epoch:3d}  loss {loss:.4f}  {time.monotonic() - started:6.0f} s"
        if training.epoch % 10 == 0 or training.epoch == epochs:
            mean = np.nanmean(dice_of(training.averaged.module, held_out), axis=0)
            line += f"  validation Dice anterior {mean[0]:.4f} posterior {mean[1]:.4f}"
            training.save(checkpoint)
        write_line(work, line)
    return training


def write_line(work: Path, line: str) -> None:
    """Show `line` and keep it in the training log."""
    print(line, flush=True)
    with (work / "training.log").open("a") as log:
        log.write(line + "\n")


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--work", type=Path, default=Path("build/hippocampus"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    train(options.data, options.work, options.epochs)


if __name__ == "__main__":
    main()
