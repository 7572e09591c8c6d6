"""Trains, and kills itself in the middle of an epoch: no handler runs, nothing is tidied up.

Usage: ``python dying_training.py PACKAGE DATA OUT EPOCH``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from training_lessons import Quiet

from clic_edge.training.planning import Order, plan_training
from clic_edge.training.train import train


class Dying(Quiet):
    """Dies at the second batch of an epoch."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def batch(self, epoch: int, batch: int, batches: int, /) -> None:
        """Die, when the time has come."""
        assert batches > 1
        if (epoch, batch) == (self._at, 2):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    torch.set_num_threads(1)
    package, data, out = map(Path, sys.argv[1:4])
    plan = plan_training(Order(package=package, data=data, out=out))
    train(plan, Dying(int(sys.argv[4])), resume=True)
