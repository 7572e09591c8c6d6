"""Train the members for breast ultrasound on BreastMNIST (28 x 28), on a CPU.

Usage: ``python models/breast-ultrasound/train.py DATA [--work build/breast-ultrasound]``.
DATA is ``breastmnist.npz`` or the folder that holds it. The official split is kept: members learn
from its training images, the log tells of its validation images, and its test images are not
opened. Run again, it goes on with the first member that is missing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from augment import augment
from network import CLASSES, Ensemble, Network
from torch import nn
from torch.nn import functional

FILE = "breastmnist.npz"
SEED = 20261121
MEMBERS = 6
EPOCHS, MORE = 40, 40
"""First on mixed images, then on each by itself: alone, the first part leaves much unlearned."""
BATCH = 64
PEAK_RATES = 3e-3, 2e-3
AVERAGING = 0.99
"""Share of the old weights that one step leaves in the averaged weights."""
MIXED = 0.3
"""Parameter of the beta distribution that two images are mixed by (mixup, ICLR 2018)."""
SMOOTHING = 0.05

Labelled = tuple[torch.Tensor, torch.Tensor]


def load(path: Path, part: str) -> Labelled:
    """Return images from 0 to 1 (n, channels, 28, 28) and labels of ``train`` or ``val``."""
    with np.load(path / FILE if path.is_dir() else path) as stored:
        images, labels = stored[f"{part}_images"], stored[f"{part}_labels"]
    pixels = torch.from_numpy(images).float() / 255
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)  # noqa: PLR2004 - grey
    return pixels.contiguous(), torch.from_numpy(labels.ravel().astype(np.int64))


def wanted(labels: torch.Tensor) -> torch.Tensor:
    """Return what a member shall say of each label."""
    return functional.one_hot(labels, CLASSES).float()


def step(network: nn.Module, batch: Labelled, rng: torch.Generator, *, mix: bool) -> torch.Tensor:
    """Return the loss of a batch of changed images, and mixed ones where `mix` says so."""
    images, target = augment(batch[0], rng), wanted(batch[1])
    if mix:
        seed = int(torch.randint(2**31, (), generator=rng))
        share = float(np.random.default_rng(seed).beta(MIXED, MIXED))
        other = torch.randperm(len(images), generator=rng)
        images = share * images + (1 - share) * images[other]
        target = share * target + (1 - share) * target[other]
    smoothing = SMOOTHING if mix else 0.0
    return functional.cross_entropy(network(images), target, label_smoothing=smoothing)


def train_member(number: int, learn: Labelled) -> nn.Module:
    """Return the averaged weights of one member after its last step."""
    torch.manual_seed(SEED + number)
    first = _trained(Network(), learn, seed=SEED + number, mix=True)
    torch.manual_seed(SEED + 100 + number)
    return _trained(first, learn, seed=SEED + 100 + number, mix=False)


def _trained(network: nn.Module, learn: Labelled, *, seed: int, mix: bool) -> nn.Module:
    rng = torch.Generator().manual_seed(seed)
    epochs, peak = (EPOCHS, PEAK_RATES[0]) if mix else (MORE, PEAK_RATES[1])
    steps = len(learn[0]) // BATCH
    averaged = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING),
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps * epochs)
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(learn[0]), generator=rng)
        for chosen in order[: steps * BATCH].split(BATCH):
            loss = step(network, (learn[0][chosen], learn[1][chosen]), rng, mix=mix)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            averaged.update_parameters(network)
    return averaged.module.eval()


def told(network: nn.Module, labelled: Labelled) -> str:
    """Return accuracy and cross-entropy in words."""
    with torch.inference_mode():
        logits = network.eval()(labelled[0])
    right = (logits.argmax(1) == labelled[1]).float().mean()
    return (
        f"accuracy {right:.4f}  cross-entropy {functional.cross_entropy(logits, labelled[1]):.4f}"
    )


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build") / Path(__file__).parent.name)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    learn, validation = (load(options.data, part) for part in ("train", "val"))
    members, started = [], time.monotonic()
    for number in range(MEMBERS):
        path = options.work / f"member-{number}.pt"
        if not path.exists():
            torch.save(train_member(number, learn).state_dict(), path)
        member = Network()
        member.load_state_dict(torch.load(path, weights_only=True))
        members.append(member)
        line = (
            f"member {number}  validation {told(Ensemble([member]), validation)}  "
            f"all so far {told(Ensemble(members), validation)}  {time.monotonic() - started:4.0f} s"
        )
        print(line, flush=True)
        with (options.work / "training.log").open("a") as log:
            log.write(line + "\n")


if __name__ == "__main__":
    main()
