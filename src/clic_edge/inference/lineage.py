"""``lineage.json``: where a package's network comes from. Covered by the digests where it is there."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from clic_edge.errors import ConfigError
from clic_edge.inference.card import Table

if TYPE_CHECKING:
    from pathlib import Path

LINEAGE = "lineage.json"
_SHOWN = 16
"""Digits of a digest that people read."""


class Part(StrEnum):
    """What a case was for."""

    TRAIN = "train"
    """Learned from."""
    REPLAYED = "replayed"
    """Learned from again, so that nothing is forgotten."""
    STOPPING = "stopping"
    """Said when to stop."""
    HELD_OUT = "held-out"
    """Measured what came of it, and decided nothing before."""


class TrainedOn(Table):
    """One source of cases, by digests: no name of a case stands here."""

    name: str
    licence: str
    source: str
    digest: str
    """SHA-256 over those of all its cases."""
    manifest: str
    """SHA-256 of the cohort's manifest; empty where there is none."""
    certificate: str
    """SHA-256 of the cohort's certificate; empty where there is none."""
    cases: Annotated[
        tuple[Annotated[tuple[Part, str], Field(strict=False)], ...], Field(strict=False)
    ]
    """Part and SHA-256 of each case that had one."""

    def count(self, part: Part) -> int:
        """Return how many cases had a part."""
        return sum(1 for one, _ in self.cases if one is part)


class Parent(Table):
    """The package that the weights began from, or that only gave the declaration."""

    id: str
    version: str
    digest: str
    weights: str
    """How the network began: ``random``, ``onnx`` or ``checkpoint``."""


class Code(Table):
    """What ran."""

    software: str
    commit: str
    """Of git; empty where the program does not lie in a repository."""
    files: dict[str, str]
    """SHA-256 of each file of the training code, and of ``training.toml``."""
    libraries: dict[str, str]
    """Versions."""


class Lineage(Table):
    """How a package's network came to be."""

    format: str = "clic-edge lineage 1"
    run: str
    """Name of the run's folder."""
    settings: str
    """SHA-256 of the run's ``settings.toml``."""
    seed: int
    epochs: int
    """Whose weights are in the package."""
    device: str
    seconds: float
    """Wall time of training, over all its parts where it was cut off."""
    trained_at: str
    """UTC, to the second."""
    largest_difference: float
    """Between the logits of torch and those of ONNX Runtime on held-out patches."""
    parent: Parent
    code: Code
    data: Annotated[tuple[TrainedOn, ...], Field(strict=False)]

    def words(self) -> list[tuple[str, str]]:
        """Return what people ask of it, a line each."""
        parent = self.parent
        began = {
            "random": "trained from random weights, declared as",
            "onnx": "trained further, from the ONNX weights of",
            "checkpoint": "trained further, from a checkpoint of",
        }[parent.weights]
        return [
            ("parent", f"{began} {parent.id} {parent.version}, {parent.digest[:_SHOWN]}"),
            *(("data", _told(one)) for one in self.data),
            ("run", f"{self.run}: seed {self.seed}, {self.epochs} epochs on {self.device}"),
            ("trained", f"{self.trained_at}, {self.seconds / 60:.1f} min"),
            (
                "code",
                self.code.software + (f", commit {self.code.commit[:12]}" * bool(self.code.commit)),
            ),
            ("libraries", ", ".join(f"{name} {one}" for name, one in self.code.libraries.items())),
            (
                "export",
                f"ONNX differs from torch by at most {self.largest_difference:.1e} in logits",
            ),
        ]


def read_lineage(folder: Path) -> Lineage | None:
    """Return where the network of a package comes from; None where it does not say.

    Raises ConfigError ``lineage-unreadable``.
    """
    path = folder / LINEAGE
    if not path.exists():
        return None
    try:
        return Lineage.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError("lineage-unreadable", f"{path} is no lineage of a package.") from error


def _told(one: TrainedOn) -> str:
    counts = ", ".join(f"{one.count(part)} {part}" for part in Part if one.count(part))
    cohort = f", cohort certificate {one.certificate[:_SHOWN]}" if one.certificate else ""
    return f"{one.name or 'unnamed'} ({one.licence or 'no licence told'}): {counts}{cohort}"
