"""Train the sarcoma network on the soft-tissue sarcomas of the IBSI's data sets, on a CPU.

Usage: ``python models/fdg-sarcoma/train.py DATA [--steps 1000] [--work build/fdg-sarcoma]``, or
``... --fold 2`` for the second of five parts of all cases, held out in turn (cross-validation).
DATA holds ``STS_xxx/PET_image.nii.gz`` and ``PET_mask.nii.gz``. Run again, it goes on from its last
checkpoint. ``export.py`` makes the averaged weights of the last step the package's network; no
step is picked by the cases that are held out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from augment import augment
from cases import Example, case_names, dice_of, load_example
from monai.losses import DiceCELoss
from network import PATCH, Mirrored, build_network

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
SEED = 20261121
VALIDATION_CASES = 8
FOLDS = 5
BATCH = 4
PEAK_RATE = 2e-3
WARM_UP = 0.1
AVERAGING = 0.99
"""Share of the old weights that one step leaves in the averaged weights."""
MOST_TRIMMED = 8
"""Voxels that may be cut from each side. All crops end about 52 mm from the tumour's box: a network
that sees where they end could read the answer from it."""
UNTRIMMED = 0.5
"""Share of axes that keep their whole length: what else takes up FDG lies towards the sides."""
THREADS = 1
"""More wait for each other where a machine is shared; a fold beside it uses the other core."""
EVERY = 50


def split_cases(folder: Path) -> dict[str, list[str]]:
    """Return the committed split; write it when there is none."""
    path = HERE / "split.json"
    if not path.exists():
        order = np.random.default_rng(SEED).permutation(case_names(folder)).tolist()
        split = {
            "train": sorted(order[VALIDATION_CASES:]),
            "validation": sorted(order[:VALIDATION_CASES]),
        }
        path.write_text(json.dumps(split, indent=1) + "\n")
    return json.loads(path.read_text())


def fold_of(names: list[str], number: int, folds: int = FOLDS) -> dict[str, list[str]]:
    """Return the split that holds out the part `number` (from 1) of `folds`."""
    order = np.random.default_rng(SEED + 1).permutation(names).tolist()
    held_out = order[number - 1 :: folds]
    return {"train": sorted(set(names) - set(held_out)), "validation": sorted(held_out)}


def cut_patch(example: Example, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and label at a random place in a patch, padded with 0 where there is none.

    Some of the crop's sides are trimmed first, never into the tumour.
    """
    image, label = torch.zeros(PATCH), torch.zeros(PATCH, dtype=torch.int64)
    source, target = [], []
    for axis, want in enumerate(PATCH):
        first, last = _trimmed(example.label, axis, rng)
        have = last - first
        start = int(torch.randint(abs(have - want) + 1, (1,), generator=rng))
        length = min(have, want)
        skipped = first + start if have > want else first
        placed = 0 if have > want else start
        source.append(slice(skipped, skipped + length))
        target.append(slice(placed, placed + length))
    image[tuple(target)] = example.image[tuple(source)]
    label[tuple(target)] = example.label[tuple(source)].long()
    return image, label


def _trimmed(label: torch.Tensor, axis: int, rng: torch.Generator) -> tuple[int, int]:
    """Return where a randomly trimmed side begins and ends."""
    others = tuple(one for one in range(label.ndim) if one != axis)
    touched = label.amax(others).nonzero()
    first, last = int(touched[0]), int(touched[-1]) + 1
    spare = (first, label.shape[axis] - last)
    if torch.rand((), generator=rng) < UNTRIMMED:
        return 0, label.shape[axis]
    begin, end = (
        int(torch.randint(min(room, MOST_TRIMMED) + 1, (1,), generator=rng)) for room in spare
    )
    return begin, label.shape[axis] - end


def learning_rate(done: float) -> float:
    """Return the rate when a share `done` of the training is over: a short rise, a cosine down."""
    if done < WARM_UP:
        return PEAK_RATE * (0.1 + 0.9 * done / WARM_UP)
    return PEAK_RATE * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Where a training writes: its folder, and the log in it."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The last state."""
        return self.folder / "checkpoint.pt"

    def line(self, text: str) -> None:
        """Show `text` and keep it in the training log."""
        print(text, flush=True)
        with (self.folder / "training.log").open("a") as log:
            log.write(text + "\n")


class Training:
    """Network, optimiser, averaged weights and random state: all that a checkpoint holds."""

    _PARTS = ("network", "optimiser", "averaged")

    def __init__(self, steps: int) -> None:
        torch.manual_seed(SEED)
        self.network = build_network().to(memory_format=torch.channels_last_3d)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=0.02)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
        )
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
        self.rng = torch.Generator().manual_seed(SEED)
        self.done, self.steps = 0, steps

    def step(self, examples: list[Example]) -> float:
        """Return the loss of one random batch after learning from it."""
        self.network.train()
        chosen = torch.randperm(len(examples), generator=self.rng)[:BATCH].tolist()
        cuts = [cut_patch(examples[i], self.rng) for i in chosen]
        images = torch.stack([image for image, _ in cuts])[:, None]
        labels = torch.stack([label for _, label in cuts])
        images, labels = augment(images, labels, self.rng)
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.done / self.steps)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images.to(memory_format=torch.channels_last_3d))
        loss = self.loss(logits.float(), labels[:, None])
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        self.optimiser.step()
        self.averaged.update_parameters(self.network)
        self.done += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write everything that `restore` needs, in one move."""
        parts = {name: getattr(self, name).state_dict() for name in self._PARTS}
        fresh = path.with_suffix(".new")
        torch.save({**parts, "rng": self.rng.get_state(), "done": self.done}, fresh)
        fresh.replace(path)

    def restore(self, path: Path) -> None:
        """Go on where `save` stood."""
        state = torch.load(path, weights_only=True)
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        self.done = state["done"]


def log_held_out(network: nn.Module, examples: list[Example], record: Record) -> None:
    """Write Dice of each case on the grid of its file, and their mean."""
    values = [dice_of(network, one) for one in examples]
    for one, value in zip(examples, values, strict=True):
        record.line(f"held out {one.name}  Dice {value:.4f}")
    record.line(f"held out, mean of {len(values)}  Dice {np.mean(values):.4f}")


def train(data: Path, split: dict[str, list[str]], record: Record, steps: int) -> Training:
    """Return the finished training; its log ends with Dice of each case that was held out."""
    examples = [load_example(data, name) for name in split["train"]]
    training = Training(steps)
    if record.checkpoint.exists():
        training.restore(record.checkpoint)
        record.line(f"going on after step {training.done}, to {steps}")
    started, losses = time.monotonic(), []
    while training.done < steps:
        losses.append(training.step(examples))
        if training.done % EVERY == 0 or training.done == steps:
            seconds = time.monotonic() - started
            record.line(f"step {training.done:4d}  loss {np.mean(losses):.4f}  {seconds:5.0f} s")
            losses = []
            training.save(record.checkpoint)
    held_out = [load_example(data, name) for name in split["validation"]]
    log_held_out(Mirrored(training.averaged.module), held_out, record)
    return training


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--fold", type=int, choices=range(1, FOLDS + 1))
    parser.add_argument("--work", type=Path, default=Path("build/fdg-sarcoma"))
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    split, folder = split_cases(options.data), options.work
    if options.fold:
        split = fold_of(case_names(options.data), options.fold)
        folder = folder / f"fold-{options.fold}"
    folder.mkdir(parents=True, exist_ok=True)
    train(options.data, split, Record(folder=folder), options.steps)


if __name__ == "__main__":
    main()
