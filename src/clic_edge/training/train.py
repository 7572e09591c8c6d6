"""A plan in, a new package out: the line of a training run."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from clic_edge.errors import ConfigError, Refusal
from clic_edge.inference.lineage import Lineage, Parent
from clic_edge.training.examples import example_of
from clic_edge.training.export import largest_difference, write_onnx
from clic_edge.training.learning import Learner, Lesson, deterministically
from clic_edge.training.material import SPLIT
from clic_edge.training.origin import code_of
from clic_edge.training.packaging import Fresh, fill_in, free_place, write_package
from clic_edge.training.patches import fixed_patches
from clic_edge.validation.folder import case_files
from clic_edge.validation.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from clic_edge.inference.declaration import Declaration
    from clic_edge.training.examples import Example
    from clic_edge.training.learning import Epoch
    from clic_edge.training.material import CaseFile
    from clic_edge.training.planning import Plan
    from clic_edge.validation.folder import LabelledVolume
    from clic_edge.validation.report import Report

    Accept = Callable[[Report, Path, Path], None]
    """Raises what speaks against a package, by its report on a folder of held-out cases; says in a
    file what it found."""

PROVING_PATCHES = 4
"""On which torch and ONNX Runtime must answer the same."""
CANDIDATE = "candidate"
"""Folder in the run where a package lies until it has a place of its own."""
HELD_OUT = "held-out"
"""Folder in the run with links to the cases that decided nothing."""


class Progress(Protocol):
    """Is told how far a run is."""

    def begins(self, epochs: int, done: int) -> None:
        """Learning begins, or goes on after the epochs that are done."""
        ...

    def batch(self, epoch: int, batch: int, batches: int, /) -> None:
        """Show that a batch is done; all count from 1."""
        ...

    def epoch(self, row: Epoch) -> None:
        """Show that an epoch is done, and kept."""
        ...

    def says(self, sentence: str) -> None:
        """Tell something that a person should know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of a run."""

    run: Path
    package: Path
    report: Report | None = field(repr=False)
    """On the held-out cases; None where there is none."""


def train(plan: Plan, progress: Progress, *, resume: bool, accept: Accept | None = None) -> Trained:
    """Return what came of a plan; nothing of it is signed.

    Raises
    ------
    ConfigError
        ``run-exists``, ``training-empty``, ``checkpoint-unreadable``; a case can't be read.
    Defect
        ``training-diverged``; ``export-differs``: the package is not made. What `accept` raises:
        it stays in the run.

    """
    plan.run.begin(resume=resume)
    declared = plan.parent.declaration
    examples = _examples(plan.parts.train, declared, progress)
    if not examples:
        raise ConfigError("training-empty", "The package's own gate refuses every case.")
    lesson = Lesson(
        recipe=plan.recipe,
        declared=declared,
        examples=examples,
        replayed=_examples(plan.replayed, declared, progress),
        stopping=tuple(case for case, _ in _admitted(plan.parts.stopping, declared, progress)),
        device=plan.device,
    )
    learner = learned(plan, lesson, progress)
    held_out = _examples(plan.parts.held_out[:PROVING_PATCHES], declared, progress)
    fresh = exported(plan, learner, proving=held_out or examples)
    return packaged(plan, fresh, accept)


def learned(plan: Plan, lesson: Lesson, progress: Progress) -> Learner:
    """Return the learner when all is learned; every epoch is kept."""
    learner = Learner(lesson, plan.start.weights)
    if plan.run.checkpoint.exists():
        learner.restore(plan.run.load())
    done = len(learner.history)
    plan.run.log("goes on" if done else "begins", epoch=done, cases=len(lesson.examples))
    progress.begins(plan.recipe.epochs, done)
    while not learner.is_done:
        with deterministically(plan.device):
            row = learner.run_epoch(progress.batch)
        plan.run.save(learner)
        if row.epoch % plan.recipe.stopping.every == 0:
            plan.run.draw(learner)
        progress.epoch(row)
    plan.run.draw(learner)
    plan.run.log("learned", epochs=len(learner.history), taken=learner.best_epoch)
    return learner


def exported(plan: Plan, learner: Learner, *, proving: Iterable[Example]) -> Fresh:
    """Return the network in ONNX with its lineage. Raises Defect ``export-differs``."""
    network, path = learner.exported(), plan.run.folder / "model.onnx"
    shape = plan.parent.declaration.window.shape
    write_onnx(network, path, shape)
    patches = fixed_patches(tuple(proving), shape, count=PROVING_PATCHES)
    difference = largest_difference(network, path, patches)
    plan.run.log("exported", largest_difference=difference)
    return Fresh(
        parent=plan.parent,
        weights=path,
        parts=plan.parts,
        lineage=_lineage(plan, learner, difference),
        is_retrained=plan.is_retraining,
        replayed=frozenset(one.name for one in plan.replayed),
    )


def packaged(plan: Plan, fresh: Fresh, accept: Accept | None) -> Trained:
    """Return the package in a place of its own, with what the held-out cases said of it."""
    candidate = plan.run.folder / CANDIDATE
    place, version = free_place(fresh, plan.out)
    write_package(candidate, fresh, version)
    held_out = link_cases(plan.parts.held_out, plan.run.folder / HELD_OUT)
    report = validate(candidate, held_out) if held_out else None
    if accept and report and held_out:
        accept(report, held_out, plan.run.folder / "against-parent.json")
    package = fill_in(candidate, fresh, version=version, report=report)
    shutil.rmtree(place, ignore_errors=True)
    candidate.rename(place)
    plan.run.log("packaged", package=str(place), digest=package.digest)
    return Trained(run=plan.run.folder, package=place, report=report)


def link_cases(cases: Sequence[CaseFile], folder: Path) -> Path | None:
    """Return a folder of labelled volumes with links to the cases, and a split that names them.

    None where there is none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for case in cases:
        for kind, path in zip(
            ("images", "labels"), case_files(case.folder, case.name), strict=True
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            ending = path.name[path.name.index(".nii") :]
            (folder / kind / f"{case.name}{ending}").symlink_to(path.resolve())
    if not folder.exists():
        return None
    names = sorted(case.name for case in cases)
    (folder / SPLIT).write_text(json.dumps({"validation": names}, indent=1) + "\n")
    return folder


def _examples(
    cases: Iterable[CaseFile], declared: Declaration, progress: Progress
) -> tuple[Example, ...]:
    return tuple(example for _, example in _admitted(cases, declared, progress))


def _admitted(
    cases: Iterable[CaseFile], declared: Declaration, progress: Progress
) -> Iterator[tuple[LabelledVolume, Example]]:
    """Yield the cases that the package itself would take, and tell of the others."""
    for one in cases:
        case = one.read(declared.input.modality)
        try:
            yield case, example_of(case, declared)
        except Refusal as refusal:
            progress.says(f"{one.name} is left out: {refusal.sentence}")


def _lineage(plan: Plan, learner: Learner, difference: float) -> Lineage:
    declared = plan.parent.declaration
    return Lineage(
        run=plan.run.name,
        settings=plan.run.digest,
        seed=plan.recipe.seed,
        epochs=learner.best_epoch,
        device=plan.device,
        seconds=sum(one.seconds for one in learner.history),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        largest_difference=difference,
        parent=Parent(
            id=declared.id,
            version=declared.version,
            digest=plan.parent.digest,
            weights=plan.start.kind,
        ),
        code=code_of(plan.parent.folder),
        data=tuple(one.told(plan.parts, plan.replayed) for one in plan.materials),
    )
