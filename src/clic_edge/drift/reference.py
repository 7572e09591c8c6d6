"""References: what a model did on one stratum when a person accepted it, sealed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.monitoring import Channel, NumberColumn, Reference, WordColumn
from clic_edge.domain.standing import is_reserved
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Observation, Stratum

FEWEST = 30
"""Observations of a reference; what is below `design.STUDIES_FOR_A_BASELINE` is provisional."""
STRATUM_FEATURES = ("input.manufacturer", "input.model_name", "input.software_versions")
ODD = "odd.studies"
"""Chart of the studies that lie outside the cloud of the reference."""
_LARGEST = float(np.finfo(np.float16).max)
EMBEDDING = "embedding."
"""Begins the names of a layer's numbers: they are looked at together only."""
_IMAGE = ("input.intensity.", "input.noise", "input.sharpness", "input.artefact.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Which model is accepted, by whom and when."""

    name: str
    model_id: str
    model_version: str
    model_digest: str
    frozen_at: datetime
    frozen_by: str
    calibrated: bool = False


def channel_of(feature: str) -> Channel:
    """Return what a feature is about."""
    if feature.startswith((*_IMAGE, EMBEDDING)):
        return Channel.IMAGE
    begins = {
        "input.": Channel.ACQUISITION,
        ODD: Channel.WHOLE,
        "seconds.": Channel.TIMING,
        "rate.": Channel.RATES,
        "truth.": Channel.READERS,
    }
    return next((it for start, it in begins.items() if feature.startswith(start)), Channel.OUTPUT)


def freeze(
    observations: Iterable[Observation],
    stratum: Stratum,
    acceptance: Acceptance,
    *,
    version: int = 1,
) -> Reference:
    """Return the reference that these observations of a stratum make; its digest seals it.

    Raises
    ------
    ConfigError
        ``reference-too-small``, ``reference-unsigned``.

    """
    if not acceptance.frozen_by.strip() or is_reserved(acceptance.frozen_by):
        raise ConfigError("reference-unsigned", "Say who accepts the reference, by name.")
    kept = sorted((one for one in observations if one.stratum == stratum), key=lambda one: one.at)
    if len(kept) < FEWEST:
        raise ConfigError(
            "reference-too-small",
            f"{stratum}: {len(kept)} observations make no reference; wait for {FEWEST}, better 300.",
        )
    table = tabulate(kept)
    return Reference(
        name=acceptance.name,
        version=version,
        model_id=acceptance.model_id,
        model_version=acceptance.model_version,
        model_digest=acceptance.model_digest,
        stratum=stratum,
        first_at=kept[0].at,
        last_at=kept[-1].at,
        frozen_at=acceptance.frozen_at,
        frozen_by=acceptance.frozen_by.strip(),
        calibrated=acceptance.calibrated,
        observations=len(kept),
        numbers=tuple(
            NumberColumn(
                name=name,
                values=_shortest(values)
                if name.startswith(EMBEDDING)
                else tuple(_or_none(one) for one in values),
            )
            for name, values in table.numbers
        ),
        words=tuple(WordColumn(name=name, values=values) for name, values in table.words),
    )


def _or_none(value: np.float64) -> float | None:
    return float(value) if isfinite(value) else None


def _shortest(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Return the shortest numbers that are the same float16, as embeddings are logged."""
    short = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
    return tuple(float(str(one)) if isfinite(one) else None for one in short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Observations by feature; a feature that one of them lacks is NaN, or an empty word."""

    numbers: tuple[tuple[str, NDArray[np.float64]], ...] = field(repr=False)
    words: tuple[tuple[str, tuple[str, ...]], ...] = field(repr=False)

    @property
    def length(self) -> int:
        """Observations; 0 of a table without a feature."""
        lengths = [len(values) for _, values in self.numbers]
        return max([*lengths, *(len(words) for _, words in self.words)], default=0)

    def number(self, name: str, length: int) -> NDArray[np.float64]:
        """Return a feature's numbers; NaN for each where nobody has it."""
        found = (values for one, values in self.numbers if one == name)
        return next(found, np.full(length, np.nan))

    def word(self, name: str, length: int) -> tuple[str, ...]:
        """Return a feature's words; empty for each where nobody has it."""
        found = (values for one, values in self.words if one == name)
        return next(found, ("",) * length)


def tabulate(observations: Sequence[Observation]) -> Table:
    """Return observations as columns, sorted by name; what is not finite is no number."""
    numbers: dict[str, NDArray[np.float64]] = {}
    words: dict[str, list[str]] = {}
    for index, observation in enumerate(observations):
        for one in observation.features:
            if one.number is None:
                if one.name not in words:
                    words[one.name] = [""] * len(observations)
                words[one.name][index] = one.text
            else:
                if one.name not in numbers:
                    numbers[one.name] = np.full(len(observations), np.nan)
                numbers[one.name][index] = one.number if isfinite(one.number) else np.nan
    numbers |= _layer([one.embedding for one in observations])
    return Table(
        numbers=tuple(sorted(numbers.items())),
        words=tuple((name, tuple(column)) for name, column in sorted(words.items())),
    )


def _layer(embeddings: Sequence[tuple[float, ...]]) -> dict[str, NDArray[np.float64]]:
    """Return an embedding's numbers by feature; NaN of whoever has none, or one of another size."""
    size = max(map(len, embeddings), default=0)
    rows = np.full((len(embeddings), size), np.nan)
    for row, embedding in zip(rows, embeddings, strict=True):
        if len(embedding) == size:
            row[:] = embedding
    return {f"{EMBEDDING}{index}": column for index, column in enumerate(rows.T)}


def table_of(reference: Reference) -> Table:
    """Return the columns of a reference."""
    return Table(
        numbers=tuple(
            (one.name, np.array(one.values, dtype=np.float64)) for one in reference.numbers
        ),
        words=tuple((one.name, one.values) for one in reference.words),
    )
