"""A constancy protocol: which phantoms, what is expected of them, how often, who answers for it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.pipeline import KebabCase
from clic_edge.config.toml import Several, Strict, read_toml
from clic_edge.errors import ConfigError

Triple = Annotated[tuple[float, float, float], Field(strict=False)]
Sizes = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)]
Share = Annotated[float, Field(ge=0, le=1)]
LONGEST_PIPELINE = 48
"""Letters of a pipeline's name that leave room for the mark of constancy."""


class Tolerance(Strict):
    """How far a result may be from what is expected, where it need not be the same to the bit."""

    dice: Share = 0.99
    """The least Dice of a segment."""
    relative: Share = 0.02
    """The largest difference of a number, as a share of what is expected."""
    probability: Share = 0.02
    """The largest difference of a number without unit."""


class Body(Strict):
    """An ellipsoid in a phantom."""

    centre: Triple
    """Slice, row, column."""
    radii: Triple
    """Along the same, in voxels."""
    value: float
    """What its voxels have instead of the background."""


class Phantom(Strict):
    """A volume made of ellipsoids and noise; the same bytes every time."""

    modality: Literal["MR", "CT"]
    """Of the study that is made of it."""
    shape: Sizes
    """Slices, rows, columns."""
    spacing_mm: Annotated[
        tuple[PositiveFloat, PositiveFloat, PositiveFloat], Field(strict=False)
    ] = (1.0, 1.0, 1.0)
    """Between slices, rows, columns."""
    background: float = 0.0
    """Where no body is."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of normal noise."""
    seed: int = 0
    """Of the noise."""
    bodies: Several[Body]
    """A later one lies over an earlier one."""


class Words(Strict):
    """What the series says of itself, so that the pipeline's rule takes it."""

    description: str = "Constancy"
    """Series Description (0008,103E)."""
    body_part: str = ""
    """Body Part Examined (0018,0015)."""


class Case(Strict):
    """One study of a protocol."""

    name: KebabCase
    """Unique in the protocol."""
    sealed: str | None = None
    """Name of a volume in the package's sealed test set."""
    phantom: Phantom | None = None
    """Made here; a case is one of the three."""
    like: str | None = None
    """Name of an earlier case whose images are perturbed."""
    perturb: Literal["turned", "mirrored", "thicker", "other-part", "noisier"] | None = None
    """What is done to them."""
    expect: Literal["recorded", "like", "refused"] = "recorded"
    """The same as in the commissioning record; as the case that it is like; or a refusal."""
    within: Tolerance = Field(default_factory=lambda: Tolerance(dice=0.8, relative=0.2))
    """How far from the case that it is like."""
    series: Words | None = None
    """By default the protocol's."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        given = [one for one in (self.sealed, self.phantom, self.like) if one is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "case", "should have one of 'sealed', 'phantom' and 'like', and no two"
            )
        if (self.like is None) != (self.perturb is None) or (
            self.expect == "like" and self.like is None
        ):
            raise PydanticCustomError("case", "'perturb' and 'like' go together")
        return self


class Protocol(Strict):
    """One constancy set of one pipeline: one file in the folder of protocols."""

    name: KebabCase
    """The name of the file without `.toml`."""
    version: PositiveInt
    """Another one needs another commissioning record."""
    pipeline: KebabCase
    """Whose active model is looked at."""
    responsible: str = Field(min_length=1)
    """Who answers for it: a person or a department."""
    interval_days: PositiveInt = 1
    """How often the worker runs it."""
    tolerance: Tolerance = Field(default_factory=Tolerance)
    """Where the model runs on a GPU or a server; on a CPU nothing may differ."""
    series: Words = Field(default_factory=Words)
    """Of every case that has none of its own."""
    cases: Several[Case]
    """In the order in which they run."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        seen = set[str]()
        for one in self.cases:
            if one.name in seen or (one.like is not None and one.like not in seen):
                raise PydanticCustomError(
                    "cases", "'cases': a name comes once, and 'like' names an earlier one"
                )
            seen.add(one.name)
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over all that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def words(self, case: Case) -> Words:
        """Return what the series of a case says."""
        if case.series:
            return case.series
        return next((self.words(one) for one in self.cases if one.name == case.like), self.series)


def load_protocols(folder: Path) -> tuple[Protocol, ...]:
    """Return the protocols of a folder, sorted by name; none where there is no folder.

    Raises
    ------
    ConfigError
        As `read_toml`; also ``wrong-value`` for a name that is not the file's.

    """
    return tuple(_loaded(sorted(folder.glob("*.toml"))))


def _loaded(paths: list[Path]) -> Iterator[Protocol]:
    for path in paths:
        protocol = read_toml(Protocol, path)
        if protocol.name != path.stem:
            raise ConfigError(
                "wrong-value", f"{path}: 'name' should be '{path.stem}', as the file is called."
            )
        if len(protocol.pipeline) > LONGEST_PIPELINE:
            raise ConfigError(
                "wrong-value",
                f"{path}: 'pipeline': constancy takes names of at most {LONGEST_PIPELINE} letters.",
            )
        yield protocol
