"""Train the vessel network on CHASE_DB1, on a CPU.

Usage: ``python models/retina-vessels/train.py DATA [--steps 1600] [--work build/retina-vessels]``.
DATA holds ``images/Image_01L.jpg`` and ``masks/Image_01L_1stHO.png``. Run again, it goes on from
its last checkpoint. ``export.py`` makes the averaged weights of the last step the package's
network. What is looked at on the way are the validation eyes; ``test.py`` looks at the test eyes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from augment import augment
from cases import Photograph, child_of, dice_of, eye_names, load_eye
from network import Network
from torch.nn import functional

HERE = Path(__file__).parent
SEED = 20261121
TEST_CHILDREN, VALIDATION_CHILDREN = 3, 1
CUT = 224
BATCH = 4
PEAK_RATE = 3e-3
WARM_UP = 0.05
AVERAGING = 0.99
"""Share of the old weights that one step leaves in the averaged weights."""
EVERY = 50


def split_eyes(folder: Path) -> dict[str, list[str]]:
    """Return the committed split, both eyes of a child on one side; write it when there is none."""
    path = HERE / "split.json"
    if not path.exists():
        names = eye_names(folder)
        order = np.random.default_rng(SEED).permutation(sorted({child_of(n) for n in names}))
        first, last = TEST_CHILDREN, TEST_CHILDREN + VALIDATION_CHILDREN
        parts = {"train": order[last:], "validation": order[first:last], "test": order[:first]}
        split = {part: [n for n in names if child_of(n) in set(c)] for part, c in parts.items()}
        path.write_text(json.dumps(split, indent=1) + "\n")
    return json.loads(path.read_text())


def learning_rate(done: float) -> float:
    """Return the rate when a share `done` of the training is over: a short rise, a cosine down."""
    if done < WARM_UP:
        return PEAK_RATE * (0.1 + 0.9 * done / WARM_UP)
    return PEAK_RATE * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def loss_of(logits: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy plus one minus soft Dice, over the whole batch."""
    odds = logits[:, 1] - logits[:, 0]
    chance = odds.sigmoid()
    overlap = (2 * (chance * drawn).sum() + 1) / (chance.sum() + drawn.sum() + 1)
    return functional.binary_cross_entropy_with_logits(odds, drawn) + 1 - overlap


class Training:
    """Network, optimiser, averaged weights and random state: all that a checkpoint holds."""

    _PARTS = ("network", "optimiser", "averaged")

    def __init__(self, steps: int) -> None:
        torch.manual_seed(SEED)
        self.network = Network().to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=0.01)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING),
            use_buffers=True,
        )
        self.rng = torch.Generator().manual_seed(SEED)
        self.done, self.steps = 0, steps

    def step(self, eyes: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
        """Return the loss of one random batch after learning from it."""
        self.network.train()
        chosen = torch.randint(len(eyes), (BATCH,), generator=self.rng).tolist()
        cuts = [augment(*eyes[i], CUT, self.rng) for i in chosen]
        images = torch.stack([image for image, _ in cuts])
        drawn = torch.stack([vessels for _, vessels in cuts])
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.done / self.steps)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images.to(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), drawn)
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


def log(folder: Path, text: str) -> None:
    """Show `text` and keep it in the training log."""
    print(text, flush=True)
    with (folder / "training.log").open("a") as lines:
        lines.write(text + "\n")


def train(data: Path, folder: Path, steps: int) -> None:
    """Train to the end; Dice of the validation eyes is logged four times on the way."""
    split = split_eyes(data)
    eyes = [(eye.image, eye.drawn) for eye in _load(data, split["train"])]
    validation = _load(data, split["validation"])
    training, checkpoint = Training(steps), folder / "checkpoint.pt"
    if checkpoint.exists():
        training.restore(checkpoint)
        log(folder, f"going on after step {training.done}, to {steps}")
    started, losses = time.monotonic(), []
    while training.done < steps:
        losses.append(training.step(eyes))
        if training.done % EVERY == 0 or training.done == steps:
            seconds = time.monotonic() - started
            log(folder, f"step {training.done:4d}  loss {np.mean(losses):.4f}  {seconds:5.0f} s")
            losses = []
            training.save(checkpoint)
        if training.done % (steps // 4) == 0:
            values = [dice_of(training.averaged.module, eye) for eye in validation]
            log(folder, f"step {training.done:4d}  validation Dice {np.mean(values):.4f}")


def _load(data: Path, names: list[str]) -> list[Photograph]:
    return [load_eye(data, name) for name in names]


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--work", type=Path, default=Path("build/retina-vessels"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    train(options.data, options.work, options.steps)


if __name__ == "__main__":
    main()
