"""A trained network as a package of its own: complete but for the signature, which is a person's act."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.inference.lineage import LINEAGE, Part, read_lineage
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import CARD, DECLARATION, write_digests
from clic_edge.inference.testset import seal, sealed_volumes
from clic_edge.training.material import SPLIT, learned_by
from clic_edge.training.recipe import RECIPE
from clic_edge.training.toml_text import to_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from clic_edge.inference.card import Performance
    from clic_edge.inference.lineage import Lineage, TrainedOn
    from clic_edge.inference.package import ModelPackage
    from clic_edge.training.material import Parts
    from clic_edge.validation.report import Report

_NUMBERS = 3
_OURS = {"id", "version", "weights", "runtime", "training", "performance"}
_LAPSED = {"operating_point", "regulatory"}
"""Of another network: an operating point was measured on it, a certificate or declaration names it."""
WEIGHTS = "model.onnx"
_WARNING = (
    "Made by a program and signed by nobody: who signs it answers for it. "
    "Intended use, limits and population are the parent's words; read them again before you sign."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What a run has made."""

    parent: ModelPackage
    weights: Path
    """The network in ONNX."""
    parts: Parts
    lineage: Lineage
    is_retrained: bool
    """Whether it began as its parent, and so knows all that this one knew."""
    replayed: frozenset[str] = frozenset()
    """Names of the cases that came again."""


def next_version(version: str, *, retrained: bool) -> str:
    """Return the version of what a package becomes.

    A network that was trained anew raises the second number, one that learned more from its
    parent's weights the third. The first is a person's: what the model takes, gives or is for
    has changed.
    """
    found = [int(one) for one in re.findall(r"\d+", version)[:_NUMBERS]]
    first, second, third = (*found, 0, 0, 0)[:_NUMBERS]
    return f"{first}.{second}.{third + 1}" if retrained else f"{first}.{second + 1}.0"


def free_place(fresh: Fresh, out: Path) -> tuple[Path, str]:
    """Return folder and version of a new package: the first that no other run has taken."""
    version, name = fresh.parent.declaration.version, fresh.parent.declaration.id
    while True:
        version = next_version(version, retrained=fresh.is_retrained)
        folder = out / f"{name}-{version}"
        lineage = read_lineage(folder) if folder.exists() else None
        if not folder.exists() or (lineage and lineage.run == fresh.lineage.run):
            return folder, version


def write_package(folder: Path, fresh: Fresh, version: str) -> None:
    """Write the package without what its validation is to find; a folder that is there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parent = fresh.parent.folder
    shutil.copyfile(fresh.weights, folder / WEIGHTS)
    shutil.copyfile(parent / RECIPE, folder / RECIPE)
    before = fresh.replayed | (learned_by(parent) if fresh.is_retrained else frozenset())
    (folder / SPLIT).write_text(fresh.parts.to_json(before), encoding="utf-8")
    (folder / LINEAGE).write_text(fresh.lineage.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _declare(folder, fresh, version)
    # The parent's questions, answered by this network: constancy is then its own.
    for name, volume in sealed_volumes(parent):
        seal(folder, name, volume=volume, runtime=load_runtime(folder))
        write_digests(folder)


def fill_in(folder: Path, fresh: Fresh, *, version: str, report: Report | None) -> ModelPackage:
    """Return the package with what validation found, on cases that decided nothing before."""
    package = _declare(folder, fresh, version, performance=_performance(report) if report else ())
    (folder / CARD).write_text(_card(package, fresh.lineage, report), encoding="utf-8")
    return package


def _declare(
    folder: Path, fresh: Fresh, version: str, *, performance: tuple[Mapping[str, object], ...] = ()
) -> ModelPackage:
    """Write ``model.toml``: the parent's, but for version, weights and what the run says."""
    text = (fresh.parent.folder / DECLARATION).read_text(encoding="utf-8")
    said = tomllib.loads(text)
    kept = {key: value for key, value in said.items() if key not in _OURS | _LAPSED}
    declared = {
        "id": said["id"],
        "version": version,
        "weights": WEIGHTS,
        **kept,
        "regulatory": {"status": "research"},
        "training": [
            *(said.get("training", ()) if fresh.is_retrained else ()),
            *(_dataset(one) for one in fresh.lineage.data if _learned(one)),
        ],
        "performance": performance,
    }
    head = f"# Written by the run {fresh.lineage.run}; {LINEAGE} tells where it comes from.\n\n"
    (folder / DECLARATION).write_text(head + to_toml(declared), encoding="utf-8")
    return write_digests(folder)


def _dataset(one: TrainedOn) -> Mapping[str, object]:
    return {
        "name": one.name or "unnamed",
        "licence": one.licence or "not told",
        "cases": _learned(one),
        "source": one.source,
    }


def _learned(one: TrainedOn) -> int:
    """Return how many cases decided anything and were not the parent's already.

    Of data that comes again, what is looked at to know when to stop is not new either.
    """
    if one.count(Part.REPLAYED):
        return 0
    return one.count(Part.TRAIN) + one.count(Part.STOPPING)


def _performance(report: Report) -> tuple[Mapping[str, object], ...]:
    found = {name: report.summary(name, "dice") for name in report.class_names}
    return tuple(
        {
            "metric": "dice",
            "output": name,
            "value": _rounded(one.mean),
            "low": _rounded(one.low),
            "high": _rounded(one.high),
            "cases": one.n,
        }
        for name, one in found.items()
        if one.mean is not None
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def _card(package: ModelPackage, lineage: Lineage, report: Report | None) -> str:
    """Return what people read: what it is, what is known of it, and what nobody has looked at."""
    declared = package.declaration
    lines = [
        f"# {declared.title}, {declared.version}",
        "",
        _WARNING,
        "",
        " ".join(declared.intended_use.split()),
        "",
        "## On cases that decided nothing before",
        "",
        *_numbers(declared.performance, report),
        "",
        "## Where it comes from",
        "",
        *(f"- {what}: {told}" for what, told in lineage.words()),
        "",
        "## Limits",
        "",
        *(f"- {one}" for one in declared.limits),
        "",
    ]
    return "\n".join(lines)


def _numbers(performance: Iterable[Performance], report: Report | None) -> Iterator[str]:
    if report is None:
        yield "No case was held out: nobody knows how good it is."
        return
    yield "| segment | Dice, mean | 95 % interval | cases |"
    yield "|---|---|---|---|"
    for one in performance:
        known = one.low is not None and one.high is not None
        interval = f"{one.low:.3f} to {one.high:.3f}" if known else "too few cases"
        yield f"| {one.output} | {one.value:.3f} | {interval} | {one.cases} |"
    if report.refused:
        yield ""
        yield f"{len(report.refused)} held-out cases were refused."
