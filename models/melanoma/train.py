"""Train the members for melanoma on dermoscopic images of ISIC 2017, on a CPU.

Usage: ``python models/melanoma/train.py DATA [--epochs 80] [--work build/melanoma]``.
DATA holds ``labels.csv`` and ``images/``. A quarter is held out and not opened (``split.json``).
The rest is cut into five parts; each of four members learns from four parts and is judged by the
fifth, and the members together are the package's network. Run again, it goes on with the first member that is
missing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from augment import augment
from cases import SEED, Labelled, fold_of, load, split_cases
from network import CUT, SIDE, Network, views
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

EPOCHS = 80
MEMBERS = 4
"""Of the five parts that could be held out, so many are; the fifth is learned from by all."""
BATCH = 32
PEAK_RATE = 4e-3
AVERAGING = 0.98
"""Share of the old weights that one step leaves in the averaged weights."""
SMOOTHING = 0.03


def train_member(number: int, learn: Labelled, epochs: int) -> nn.Module:
    """Return the averaged weights of one member after its last step."""
    torch.manual_seed(SEED + number)
    rng = torch.Generator().manual_seed(SEED + number)
    network = Network().to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING),
        use_buffers=True,
    )
    steps = len(learn.names) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=steps * epochs, pct_start=0.2
    )
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(learn.names), generator=rng)[: steps * BATCH]
        for chosen in order.split(BATCH):
            images = augment(learn.images[chosen], CUT, rng)
            target = learn.labels[chosen].float() * (1 - 2 * SMOOTHING) + SMOOTHING
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images.to(memory_format=torch.channels_last))
            loss = functional.binary_cross_entropy_with_logits(logits.float(), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            averaged.update_parameters(network)
    return averaged.module.eval()


def logits_of(member: nn.Module, labelled: Labelled) -> np.ndarray:
    """Return what a member says of each image, as the mean over the eight ways it can lie."""
    edge = (SIDE - CUT) // 2
    seen = labelled.images[:, :, edge : edge + CUT, edge : edge + CUT]
    with torch.inference_mode():
        return torch.stack(views(member.eval(), seen)).mean((0, 2, 3, 4)).numpy()


def trained(work: Path, number: int) -> nn.Module:
    """Return a member with the weights that its training wrote."""
    member = Network()
    member.load_state_dict(torch.load(work / f"member-{number}.pt", weights_only=True))
    return member.eval()


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--work", type=Path, default=Path("build/melanoma"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    known = load(options.data, split_cases(options.data)["train"])
    held_out, started = np.full(len(known.names), np.nan), time.monotonic()
    for number in range(MEMBERS):
        learn, judge = fold_of(known.labels.numpy(), number)
        path = options.work / f"member-{number}.pt"
        if not path.exists():
            torch.save(train_member(number, known.of(learn), options.epochs).state_dict(), path)
        held_out[judge] = logits_of(trained(options.work, number), known.of(judge))
        seen = ~np.isnan(held_out)
        line = (
            f"member {number}  held out AUROC "
            f"{roc_auc_score(known.labels[judge], held_out[judge]):.4f}  learned from "
            f"{roc_auc_score(known.labels[learn], logits_of(trained(options.work, number), known.of(learn))):.4f}  "
            f"all held out so far {roc_auc_score(known.labels[seen], held_out[seen]):.4f}  "
            f"{time.monotonic() - started:5.0f} s"
        )
        print(line, flush=True)
        with (options.work / "training.log").open("a") as log:
            log.write(line + "\n")


if __name__ == "__main__":
    main()
