"""Pipelines: which series, cleaned how, seen by which model, results where to."""

from collections.abc import Collection, Iterator, Mapping
from datetime import time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.rule import Rule
from clic_edge.config.settings import FolderDestination, Settings
from clic_edge.config.toml import Several, Strict, nearest, read_toml
from clic_edge.errors import ConfigError

KebabCase = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=48)]
"""Short enough that the name of a constancy case, which has its model's digest too, fits the ledger."""


class Completeness(Strict):
    """When a study is taken to have arrived."""

    quiet_seconds: Annotated[float, Field(ge=0)] = 60.0
    """No instance has come for this long."""
    expected_from: str | None = None
    """A destination that is asked how many instances the study has; none by default."""


class Deadline(Strict):
    """When a reader should have the result, counted from the arrival of the study's last image."""

    minutes: PositiveFloat | None = None
    """So many after the last image."""
    by: Annotated[time, Field(strict=False)] | None = None
    """The next such time of the day, an hour or more after the last image."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.minutes is None) == (self.by is None):
            raise PydanticCustomError("deadline", "write either 'minutes' or 'by'")
        return self


class VolumeChoices(Strict):
    """What to do with a series that is not one plain stack; the fields of `VolumePolicy`."""

    gantry_tilt: Literal["refuse", "shear"] = "refuse"
    """`shear` keeps the tilted grid."""
    volumes: Literal["refuse", "first", "last"] = "refuse"
    """Which of several volumes at the same positions is taken, e.g. of a 4-D series."""
    orientations: Literal["refuse", "largest"] = "refuse"
    """`largest` keeps the orientation with the most slices."""


class Acceptance(Strict):
    """What a model must reach before a person may make it active."""

    at_least: Annotated[Mapping[str, float], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict
    )
    """Numbers of the validation report, e.g. `"classes.anterior.dice.mean"`, and their least."""
    at_most: Annotated[Mapping[str, float], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict
    )
    """The same, where less is better."""
    shadow_cases: NonNegativeInt = 20
    """Cases that the model must have seen in the shadow."""
    agreement: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The least median Dice of any segment with the active model's."""
    difference: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The largest median difference of a category's probability from the active model's."""
    refusals: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The largest share of series that the model may have refused in the shadow."""
    failures: NonNegativeInt = 0
    """Series at which it may have broken in the shadow."""


class Pipeline(Strict):
    """One way from a series to results: one file in the folder of pipelines."""

    name: KebabCase
    """The name of the file without `.toml`; stands in the ledger, so never reuse it."""
    title: str = Field(min_length=1)
    """For people."""
    model: str = Field(min_length=1)
    """A subfolder of `appliance.models`."""
    challengers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Models that see the same volumes in the shadow of `model`: logged, and never shown."""
    deid_profile: str = Field(min_length=1)
    """A file in `appliance.deid_profiles`, without `.toml`."""
    writers: Several[str] | None = None
    """What is written, in this order; by default what the destinations' profiles ask for."""
    destinations: Several[str]
    """Where it goes: names from `[destinations.NAME]`."""
    rule: Rule
    """Which series are taken."""
    priority: Literal["urgent", "routine", "background"] = "routine"
    """Urgent cases go first; background ones take no place that others wait for."""
    deadline: Deadline | None = None
    """When its results should be there; an alarm rings when they will not."""
    completeness: Completeness = Field(default_factory=Completeness)
    acceptance: Acceptance = Field(default_factory=Acceptance)
    """What a model must reach before it is made active."""
    volume: VolumeChoices = Field(default_factory=VolumeChoices)
    refusals: Literal["deliver", "keep"] = "deliver"
    """Whether readers find in the PACS why nothing was analysed, or only the appliance says so."""

    @model_validator(mode="after")
    def _a_deadline_can_be_kept(self) -> Self:
        minutes = self.deadline.minutes if self.deadline else None
        if minutes is not None and minutes * 60 <= self.completeness.quiet_seconds:
            advice = (
                "'deadline.minutes' are over before the study is taken to have arrived, "
                "by 'completeness.quiet_seconds'"
            )
            raise PydanticCustomError("deadline", advice)
        return self


def load_pipelines(folder: Path) -> tuple[Pipeline, ...]:
    """Return the pipelines of a folder, sorted by name; names are unique because files are.

    Raises
    ------
    ConfigError
        As `read_toml`; also ``no-pipelines`` and ``wrong-value`` for a name that is not the file's.

    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise ConfigError(
            "no-pipelines", f"{folder}: there is no pipeline (*.toml) in this folder."
        )
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Pipeline:
    pipeline = read_toml(Pipeline, path)
    if pipeline.name != path.stem:
        advice = f"'name' should be '{path.stem}', as the file is called"
        raise ConfigError("wrong-value", f"{path}: {advice}.")
    return pipeline


def cross_check(
    settings: Settings,
    pipelines: tuple[Pipeline, ...],
    *,
    writers: Collection[str] = ("seg", "sr"),
) -> None:
    """Do nothing when all that the pipelines name exists.

    Raises
    ------
    ConfigError
        ``unknown-name``, a line for each name that is not there, with the nearest that is.

    """
    problems = [
        f"{settings.appliance.pipelines / pipeline.name}.toml: {problem}"
        for pipeline in pipelines
        for problem in _unknown_names(settings, pipeline, writers)
    ]
    if problems:
        raise ConfigError("unknown-name", "\n".join(problems))


def _unknown_names(
    settings: Settings, pipeline: Pipeline, writers: Collection[str]
) -> Iterator[str]:
    asked = {
        name for name, to in settings.destinations.items() if not isinstance(to, FolderDestination)
    }
    models = {path.name for path in settings.appliance.models.glob("*/")}
    profiles = {path.stem for path in settings.appliance.deid_profiles.glob("*.toml")}
    yield from _unknown("model", (pipeline.model,), models)
    yield from _unknown("challengers", pipeline.challengers, models)
    yield from _unknown("deid_profile", (pipeline.deid_profile,), profiles)
    yield from _unknown("writers", pipeline.writers or (), writers)
    yield from _unknown("destinations", pipeline.destinations, settings.destinations)
    if pipeline.completeness.expected_from is not None:
        yield from _unknown(
            "completeness.expected_from", (pipeline.completeness.expected_from,), asked
        )


def _unknown(key: str, names: Collection[str], known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"'{key}': there is no '{name}'; {nearest(name, known)}."
