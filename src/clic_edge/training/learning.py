"""The learning itself: epochs over examples, looks at the stopping cases, and a state that survives."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np
import torch
from monai.losses.dice import DiceCELoss, DiceFocalLoss, DiceLoss
from torch.optim.swa_utils import AveragedModel

from clic_edge.errors import Defect
from clic_edge.training.augment import augment
from clic_edge.training.looking import TorchNetwork, mean_dice
from clic_edge.training.networks import as_exported, build_network
from clic_edge.training.patches import Cutter
from clic_edge.training.recipe import AdamW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from clic_edge.inference.declaration import Declaration
    from clic_edge.training.examples import Example
    from clic_edge.training.recipe import Recipe
    from clic_edge.validation.folder import LabelledVolume

    Weights = Mapping[str, torch.Tensor]

_LOSSES = {
    "dice": DiceLoss,
    "dice-ce": DiceCELoss,
    "dice-focal": DiceFocalLoss,
}
_START = 0.1
"""Share of the peak rate at which it begins to rise."""


class Tell(Protocol):
    """Is told how far it is."""

    def __call__(self, epoch: int, batch: int, batches: int, /) -> None:
        """Show that a batch is done; all count from 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One line of ``metrics.csv``."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the batches."""
    rate: float
    """The last learning rate."""
    seconds: float
    """Wall time, with the look where there was one."""
    dice: tuple[float | None, ...] | None
    """Mean over the stopping cases, segment by segment; None where nobody looked."""

    @property
    def mean_dice(self) -> float | None:
        """Mean over the segments that a stopping case has."""
        known = [one for one in self.dice or () if one is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is learned, from what."""

    recipe: Recipe
    declared: Declaration
    examples: tuple[Example, ...]
    replayed: tuple[Example, ...] = ()
    """Of the original data; an epoch has a share of them by the recipe."""
    stopping: tuple[LabelledVolume, ...] = ()
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """Segments, and the background."""
        return len(self.declared.segments) + 1

    @property
    def replays(self) -> int:
        """How many replayed examples an epoch has."""
        share = self.recipe.retraining.replay if self.replayed else 0
        return round(len(self.examples) * share / (1 - share))


class State(TypedDict):
    """What a checkpoint holds: tensors, numbers and text, nothing that could run."""

    network: Weights
    optimiser: dict[str, object]
    averaged: Weights
    best: Weights
    best_epoch: int
    rng: torch.Tensor
    torch_rng: torch.Tensor
    history: list[dict[str, object]]


class Learner:
    """A network on its way, with all that it needs to go on after it was cut off."""

    def __init__(self, lesson: Lesson, start: Weights | None = None) -> None:
        """Begin from random weights of the recipe's seed, or from `start`."""
        recipe = lesson.recipe
        torch.manual_seed(recipe.seed)
        self._lesson = lesson
        self._network = build_network(recipe.network, lesson.classes).to(lesson.device)
        if start:
            self._network.load_state_dict(start)
        self._optimiser = _optimiser(recipe, self._network)
        self._averaged = AveragedModel(self._network, avg_fn=_averaging(recipe.averaging))
        self._loss = _LOSSES[recipe.loss.kind](
            to_onehot_y=True,
            softmax=True,
            batch=recipe.loss.batch,
            include_background=recipe.loss.background,
        )
        self._rng = torch.Generator().manual_seed(recipe.seed)
        self._best: Weights = {}
        self._best_epoch = 0
        self.history: list[Epoch] = []

    @property
    def is_done(self) -> bool:
        """Whether all epochs are through, or enough looks in a row saw nothing better."""
        recipe, done = self._lesson.recipe, len(self.history)
        since = [one for one in self.history[self._best_epoch :] if one.dice is not None]
        return done >= recipe.epochs or len(since) >= recipe.stopping.patience

    @property
    def best_epoch(self) -> int:
        """Whose weights `exported` has: the best at a look, or the last."""
        return self._best_epoch or len(self.history)

    def run_epoch(self, tell: Tell) -> Epoch:
        """Return what one pass through the examples came to, with a look where one is due.

        Raises Defect ``training-diverged``; what was saved before stays.
        """
        begin, recipe, done = time.perf_counter(), self._lesson.recipe, len(self.history)
        order, size = self._order(), recipe.patch.batch
        seen: list[float] = []
        self._network.train()
        for first in range(0, len(order), size):
            self._set_rate(_rate(recipe, (done + first / len(order)) / recipe.epochs))
            seen.append(self._learn(order[first : first + size]))
            tell(done + 1, len(seen), math.ceil(len(order) / size))
        row = Epoch(
            epoch=done + 1,
            loss=float(np.mean(seen)),
            rate=float(self._optimiser.param_groups[0]["lr"]),
            dice=self._look(done + 1),
            seconds=time.perf_counter() - begin,
        )
        self._keep_the_best(row)
        self.history.append(row)
        return row

    def exported(self) -> nn.Module:
        """Return the network that goes into the package, on the CPU."""
        lesson = self._lesson
        network = build_network(lesson.recipe.network, lesson.classes)
        network.load_state_dict(self._best or self._averaged.module.state_dict())
        return as_exported(network, lesson.recipe.network)

    def state(self) -> State:
        """Return everything that `restore` needs."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "averaged": self._averaged.state_dict(),
            "best": self._best,
            "best_epoch": self._best_epoch,
            "rng": self._rng.get_state(),
            "torch_rng": torch.get_rng_state(),
            "history": [asdict(one) for one in self.history],
        }

    def restore(self, state: State) -> None:
        """Go on where `state` stood."""
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._averaged.load_state_dict(state["averaged"])
        self._best, self._best_epoch = state["best"], state["best_epoch"]
        self._rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        self.history = [Epoch(**one) for one in state["history"]]  # type: ignore[arg-type]  # as asdict made it

    def _order(self) -> list[Example]:
        """Return each example once, and as many replayed ones as their share asks for, shuffled."""
        lesson = self._lesson
        drawn = torch.randint(max(len(lesson.replayed), 1), (lesson.replays,), generator=self._rng)
        together = [*lesson.examples, *(lesson.replayed[place] for place in drawn.tolist())]
        order = torch.randperm(len(together), generator=self._rng)
        return [together[place] for place in order.tolist()]

    def _learn(self, examples: Sequence[Example]) -> float:
        """Return the loss of one batch after learning from it."""
        lesson, recipe = self._lesson, self._lesson.recipe
        cutter = Cutter(
            shape=recipe.patch.shape or lesson.declared.window.shape,
            foreground=recipe.patch.foreground,
            rng=self._rng,
        )
        batch = cutter.batch(examples).to(lesson.device)
        batch = augment(batch, recipe.augmentation, self._rng, classes=lesson.classes)
        with torch.autocast(lesson.device, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = self._network(batch.images)
        loss: torch.Tensor = self._loss(logits.float(), batch.labels[:, None])
        if not torch.isfinite(loss):
            raise Defect(
                "training-diverged",
                f"The loss is no number any more, in epoch {len(self.history) + 1}; try a lower "
                "rate, float32, or [optimiser] clip.",
            )
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own gap
        if recipe.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), recipe.optimiser.clip)
        self._optimiser.step()
        self._averaged.update_parameters(self._network)
        return float(loss.detach())

    def _set_rate(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate

    def _look(self, epoch: int) -> tuple[float | None, ...] | None:
        lesson, recipe = self._lesson, self._lesson.recipe
        is_due = epoch % recipe.stopping.every == 0 or epoch == recipe.epochs
        if not (lesson.stopping and is_due):
            return None
        exported = as_exported(self._averaged.module, recipe.network)
        return mean_dice(TorchNetwork(exported, lesson.device), lesson.stopping, lesson.declared)

    def _keep_the_best(self, row: Epoch) -> None:
        best = self.history[self._best_epoch - 1].mean_dice if self._best_epoch else None
        if row.mean_dice is not None and (best is None or row.mean_dice > best):
            self._best_epoch = row.epoch
            weights = self._averaged.module.state_dict()
            self._best = {name: one.detach().cpu().clone() for name, one in weights.items()}


@contextmanager
def deterministically(device: str) -> Iterator[None]:
    """Let torch refuse, for a while, what would not come to the same again.

    On a GPU some steps have no such form: torch warns of them there.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True, warn_only=device != "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)


def weights_in(state: State) -> Weights:
    """Return the weights that a run took, or would take, out of its checkpoint."""
    prefix = "module."
    averaged = {
        name.removeprefix(prefix): one
        for name, one in state["averaged"].items()
        if name.startswith(prefix)
    }
    return state["best"] or averaged


def _optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    asked = recipe.optimiser
    if isinstance(asked, AdamW):
        return torch.optim.AdamW(
            network.parameters(), lr=asked.rate, weight_decay=asked.weight_decay
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=asked.rate,
        momentum=asked.momentum,
        weight_decay=asked.weight_decay,
        nesterov=True,
    )


def _averaging(
    share: float,
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Return what averages weights; at first they follow fast, or a short run would stand still."""

    def average(
        averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
    ) -> torch.Tensor:
        kept = min(share, (1 + int(steps)) / (10 + int(steps)))
        return torch.lerp(current, averaged, kept)

    return average


def _rate(recipe: Recipe, done: float) -> float:
    """Return the rate when a share `done` of the training is over: a rise, then maybe a cosine."""
    schedule, peak = recipe.schedule, recipe.optimiser.rate
    if done < schedule.warm_up:
        return peak * (_START + (1 - _START) * done / schedule.warm_up)
    if schedule.kind == "constant":
        return peak
    return peak * (1 + math.cos(math.pi * (done - schedule.warm_up) / (1 - schedule.warm_up))) / 2
