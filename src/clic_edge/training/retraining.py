"""A package that learns more: from its own weights, on new cases, without forgetting the old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError, Refusal
from clic_edge.training.export import largest_difference
from clic_edge.training.learning import weights_in
from clic_edge.training.material import SPLIT, Parts, read_material, require_apart, split_cases
from clic_edge.training.networks import as_exported, build_network, fill_from_onnx
from clic_edge.training.patches import random_windows
from clic_edge.training.planning import Plan, Start, asked_of, run_of
from clic_edge.training.recipe import Described
from clic_edge.training.records import load_checkpoint
from clic_edge.validation.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.inference.package import ModelPackage
    from clic_edge.training.material import Material
    from clic_edge.training.planning import Order
    from clic_edge.training.recipe import Recipe
    from clic_edge.validation.report import Report


def plan_retraining(
    order: Order, *, original: Path | None = None, checkpoint: Path | None = None
) -> Plan:
    """Return what an order to learn more comes to; `order.data` is the cohort.

    What the parent did not learn from of the `original` data measures what came of it, beside
    what is held out of the cohort; the rest comes again, by the recipe's share of replay. The
    network begins with the weights of a `checkpoint` of the parent's run, or of its ONNX file.

    Raises
    ------
    ConfigError
        ``retraining-too-few``, ``training-split``, ``training-parent-weights``; as `plan_training`.
    Defect
        As `plan_training`; ``export-differs``: the weights do not answer as the parent does.

    """
    parent, asked = asked_of(order)
    recipe = _further(asked, order)
    cohort = read_material(order.data, Described())
    least = recipe.retraining.least_cases
    if len(cohort.cases) < least:
        raise ConfigError(
            "retraining-too-few",
            f"{order.data} holds {len(cohort.cases)} cases; [retraining] least_cases = {least}.",
        )
    shipped = order.package / SPLIT
    new = split_cases(cohort.cases, recipe.split, seed=recipe.seed, shipped=shipped)
    old = _original(original, recipe, shipped)
    parts = Parts(
        train=new.train,
        stopping=(*new.stopping, *(old.parts.stopping if old else ())),
        held_out=(*new.held_out, *(old.parts.held_out if old else ())),
    )
    replayed = old.parts.train if old else ()
    require_apart(parts, replayed)
    materials = (cohort, *((old.material,) if old else ()))
    start = _start(parent, recipe, checkpoint)
    return Plan(
        parent=parent,
        recipe=recipe,
        run=run_of(parent, recipe, materials, order=order, start=start),
        materials=materials,
        parts=parts,
        replayed=replayed,
        start=start,
        device=order.device,
        out=order.out,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidacy:
    """Whether a package may take its parent's place: not where it is worse beyond the margin."""

    parent: ModelPackage
    margin: float
    """Mean Dice that a segment may lose."""

    def __call__(self, report: Report, held_out: Path, record: Path) -> None:
        """Compare both on the same cases, and write the comparison to the file `record`.

        Raises Refusal ``candidate-worse``.
        """
        before = validate(self.parent.folder, held_out, split=held_out / SPLIT)
        record.write_text(report.to_json(before), encoding="utf-8")
        for name in report.class_names:
            change = before.against(report, name, "dice")
            if change.mean is not None and change.mean < -self.margin:
                raise Refusal(
                    "candidate-worse",
                    f"The segment {name} lost {-change.mean:.3f} in mean Dice against the parent, "
                    f"over {change.n} held-out cases; [retraining] margin = {self.margin:g}.",
                )
        lost = len(report.refused) - len(before.refused)
        if lost > 0:
            raise Refusal("candidate-worse", f"{lost} held-out cases more are refused than before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Old:
    material: Material
    parts: Parts


def _original(folder: Path | None, recipe: Recipe, shipped: Path) -> _Old | None:
    if folder is None:
        return None
    material = read_material(folder, recipe.data)
    parts = split_cases(material.cases, recipe.split, seed=recipe.seed, shipped=shipped)
    return _Old(material=material, parts=parts)


def _further(recipe: Recipe, order: Order) -> Recipe:
    """Return the recipe with what holds when a package learns more."""
    more = recipe.retraining
    return recipe.model_copy(
        update={
            "epochs": order.epochs or more.epochs,
            "optimiser": recipe.optimiser.model_copy(update={"rate": more.rate}),
        }
    )


def _start(parent: ModelPackage, recipe: Recipe, checkpoint: Path | None) -> Start:
    """Return the parent's weights, proved against its ONNX file."""
    declared = parent.declaration
    network = build_network(recipe.network, len(declared.segments) + 1)
    exported = as_exported(network, recipe.network)
    if checkpoint:
        state = load_checkpoint(checkpoint)
        try:
            network.load_state_dict(weights_in(state))
        except (RuntimeError, KeyError) as error:
            raise ConfigError(
                "training-parent-weights", f"{checkpoint} is of another network."
            ) from error
    else:
        fill_from_onnx(exported, parent.weights_path)
    windows = random_windows(declared.window.shape, seed=recipe.seed)
    largest_difference(exported, parent.weights_path, windows)
    kind = "checkpoint" if checkpoint else "onnx"
    return Start(kind=kind, weights=network.state_dict())
