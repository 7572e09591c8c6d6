"""Profiles of destinations: what a PACS takes, how, and how it proves that it holds it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from clic_edge.config.settings import (
    Destination,
    DicomwebDestination,
    DimseDestination,
    Port,
    Settings,
)
from clic_edge.config.toml import Several, Strict, nearest, read_toml
from clic_edge.errors import ConfigError

Kind = Literal[
    "seg", "seg-fractional", "seg-labelmap", "sr", "pr", "sc", "pdf", "ko", "pm", "ann", "summary"
]
"""A kind of result object, named as its writer: the `ResultKind` in lower case."""
ALTERNATIVES = frozenset({"seg", "seg-fractional", "seg-labelmap"})
"""Encodings of the same segments: a viewer that got two of them would show each segment twice."""
REJECTION, ASSESSMENT = "rejection", "assessment"
WRITERS = ("seg", "seg-labelmap", "seg-fractional", "sr", "pm", "ann", "pr", "sc", "pdf", "ko")
"""The writers of one series, in the order in which they run: a report refers to what is there."""
PER_CASE = ("summary", REJECTION, ASSESSMENT)
"""What is written of a whole case: by the line, or at a reader's word."""


class Commitment(Strict):
    """Storage commitment (PS3.4 Annex J)."""

    way: Literal["none", "same-association", "own-association"] = "none"
    """Where the report comes: `same-association` as the request, or one that the PACS opens."""
    port: Port | None = None
    """Port of ours for reports on associations of the PACS's own; none is opened by default."""
    timeout_s: PositiveFloat = 30.0
    """Seconds to wait for the report; one that comes later counts at the next attempt."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.way == "own-association" and self.port is None:
            raise PydanticCustomError("port", "needs a 'port' for the reports")
        return self


class DestinationProfile(Strict):
    """What one kind of PACS takes: one file in the folder of destination profiles."""

    title: str = ""
    """For people."""
    results: Several[Kind] = ("seg", "sr", "summary")
    """The kinds that it gets, in order of preference."""
    segmentations: Literal["first", "all"] = "first"
    """Of several encodings of the segments: the first of `results` that was written, or all."""
    compression: Annotated[
        Mapping[Kind, Literal["none", "deflated", "rle", "jpeg-2000"]],
        AfterValidator(MappingProxyType),
    ] = Field(default_factory=dict)
    """How a kind is compressed on its way; nothing is by default."""
    character_set: Literal["ISO_IR 192", "ISO_IR 100", "ISO_IR 101", "ISO_IR 144"] = "ISO_IR 192"
    """Specific Character Set (0008,0005) in which text is sent."""
    confirm: Literal["none", "c-find", "qido"] = "none"
    """How it is asked whether it holds what it accepted, where there is no storage commitment."""
    rejection_notes: bool = False
    """Whether it gets a rejection note (KOS, IHE IOCM) for results that were replaced or withdrawn."""
    assessments: bool = True
    """Whether it gets what readers say of a result on the appliance's page, as SR."""
    commitment: Commitment = Field(default_factory=Commitment)


def kinds_for(profile: DestinationProfile, written: Collection[str]) -> tuple[str, ...]:
    """Return which of the kinds that a case writes go to a destination, in its own order."""
    kinds: list[str] = []
    one_only = ALTERNATIVES if profile.segmentations == "first" else frozenset()
    for kind in profile.results:
        taken = {kind} | (one_only if kind in one_only else set())
        if kind in written and taken.isdisjoint(kinds):
            kinds.append(kind)
    if profile.rejection_notes and REJECTION in written:
        kinds.append(REJECTION)
    if profile.assessments and ASSESSMENT in written:
        kinds.append(ASSESSMENT)
    return tuple(kinds)


def kinds_of(profile: DestinationProfile, writers: Collection[str] | None) -> tuple[str, ...]:
    """Return which kinds a destination gets of a pipeline; None are the writers that it asks for.

    Of a third party's writer it gets whatever it takes.
    """
    ours = writers if writers and all(name in WRITERS for name in writers) else WRITERS
    return kinds_for(profile, {*ours, *PER_CASE})


def destination_profile(settings: Settings, name: str) -> DestinationProfile:
    """Return the profile of a destination; without one, SEG, SR and summary go out, unproven.

    Raises
    ------
    ConfigError
        As `read_toml`; also ``unknown-name``, and ``wrong-value`` for what the destination can't.

    """
    destination = settings.destinations[name]
    if destination.profile is None:
        return DestinationProfile()
    path = profile_path(settings, destination.profile)
    profile = read_toml(DestinationProfile, path)
    if problem := _misfit(destination, profile):
        raise ConfigError("wrong-value", f"{path}: {problem}, and the destination '{name}' is not.")
    return profile


def profile_path(settings: Settings, named: str) -> Path:
    """Return the file of a profile that is named, or given as a path.

    Raises ConfigError ``unknown-name`` with the nearest name.
    """
    if named.endswith(".toml"):
        return Path(named)
    folder = settings.appliance.destination_profiles
    known = {path.stem for path in folder.glob("*.toml")}
    if named not in known:
        raise ConfigError(
            "unknown-name", f"{folder}: there is no profile '{named}'; {nearest(named, known)}."
        )
    return folder / f"{named}.toml"


def _misfit(destination: Destination, profile: DestinationProfile) -> str:
    """Return what a profile asks of a destination that does not speak so."""
    if not isinstance(destination, DimseDestination):
        if profile.commitment.way != "none":
            return "'commitment' needs a destination of kind 'dimse'"
        if profile.confirm == "c-find":
            return "'confirm' by 'c-find' needs a destination of kind 'dimse'"
    if profile.confirm == "qido" and not isinstance(destination, DicomwebDestination):
        return "'confirm' by 'qido' needs a destination of kind 'dicomweb'"
    return ""
