"""A run before its first epoch: what is learned, from which cases, under which name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from clic_edge.errors import ConfigError
from clic_edge.inference.package import load_package
from clic_edge.training.material import SPLIT, read_material, require_apart, split_cases
from clic_edge.training.recipe import read_recipe
from clic_edge.training.records import Run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clic_edge.inference.package import ModelPackage
    from clic_edge.training.learning import Weights
    from clic_edge.training.material import CaseFile, Material, Parts
    from clic_edge.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person asked for."""

    package: Path
    data: Path
    out: Path
    device: str = "cpu"
    resume: bool = False
    epochs: int | None = None
    """In place of the recipe's."""
    seed: int | None = None
    """In place of the recipe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a network is before the first epoch."""

    kind: str = "random"
    """``random``, ``onnx`` or ``checkpoint``."""
    weights: Weights | None = field(default=None, repr=False)
    """None for random ones of the recipe's seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before its first epoch."""

    parent: ModelPackage
    recipe: Recipe
    run: Run
    materials: tuple[Material, ...]
    parts: Parts
    replayed: tuple[CaseFile, ...] = ()
    """Original cases, that come again so that nothing is forgotten; not among the parts."""
    start: Start
    device: str
    out: Path
    """Where the new package comes to lie."""

    @property
    def is_retraining(self) -> bool:
        """Whether the network begins as its parent's."""
        return self.start.weights is not None


def plan_training(order: Order) -> Plan:
    """Return what an order to train anew comes to.

    Raises
    ------
    ConfigError
        ``training-device``; as `load_package`, `read_recipe`, `read_material` and `split_cases`.
    Defect
        As `load_package` and `read_material`.

    """
    parent, recipe = asked_of(order)
    material = read_material(order.data, recipe.data)
    parts = split_cases(
        material.cases, recipe.split, seed=recipe.seed, shipped=order.package / SPLIT
    )
    require_apart(parts)
    start = Start()
    return Plan(
        parent=parent,
        recipe=recipe,
        run=run_of(parent, recipe, (material,), order=order, start=start),
        materials=(material,),
        parts=parts,
        start=start,
        device=order.device,
        out=order.out,
    )


def asked_of(order: Order) -> tuple[ModelPackage, Recipe]:
    """Return the package, and its recipe with what the order says otherwise. Raises ConfigError."""
    if order.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training-device", "torch finds no CUDA device; train with --device cpu.")
    parent, recipe = load_package(order.package), read_recipe(order.package)
    changes = {
        name: value
        for name, value in (("epochs", order.epochs), ("seed", order.seed))
        if value is not None
    }
    return parent, recipe.model_copy(update=changes)


def run_of(
    parent: ModelPackage,
    recipe: Recipe,
    materials: Iterable[Material],
    *,
    order: Order,
    start: Start,
) -> Run:
    """Return the run of a recipe on its data: the same again is the same run."""
    declared = parent.declaration
    settings = {
        "device": order.device,
        "data": [one.digest for one in materials],
        "parent": {
            "id": declared.id,
            "version": declared.version,
            "digest": parent.digest,
            "weights": start.kind,
        },
        "recipe": recipe.model_dump(mode="json"),
    }
    names = [segment.name for segment in declared.segments]
    return Run.named(order.out, order.package.resolve().name, settings=settings, segments=names)
