"""What a package says of its own worth: for whom it is, how it was made, and how good it is."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Years = Annotated[float, Field(ge=0, le=130)]
Length = Annotated[float, Field(gt=0)]
Words = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A table of ``model.toml``: what it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Population(Table):
    """Whose images the model was made for; what is not said is not asked."""

    age_years: tuple[Years, Years] | None = None
    """Youngest and oldest. A study that does not tell the age is then refused."""
    sexes: tuple[Literal["F", "M", "O"], ...] = ()
    """Patient's Sex (0010,0040). None for any."""
    described: str = ""
    """In words, for people."""

    @model_validator(mode="after")
    def _ages_are_in_order(self) -> Self:
        if self.age_years and self.age_years[0] >= self.age_years[1]:
            raise ValueError("an age range must begin below its end")
        return self


class Protocol(Table):
    """How the images must be made; what is not said is not asked."""

    body_parts: tuple[Words, ...] = ()
    """Body Part Examined (0018,0015), any of them; an image that doesn't say it is let in."""
    contrast: Literal["with", "without"] | None = None
    """Contrast/Bolus Agent (0018,0010); an image that doesn't tell is then refused."""
    manufacturers: tuple[Words, ...] = ()
    """Beginnings of Manufacturer (0008,0070), any of them, in any case of letters."""
    lateralities: tuple[Literal["L", "R", "B"], ...] = ()
    """Image Laterality (0020,0062), any of them; an image that doesn't say it is then refused."""
    slice_thickness_mm: tuple[Length, Length] | None = None
    """Thinnest and thickest; an image that doesn't say it is then refused."""
    exclusions: tuple[Words, ...] = ()
    """In words: what no attribute tells."""

    @model_validator(mode="after")
    def _thicknesses_are_in_order(self) -> Self:
        if self.slice_thickness_mm and self.slice_thickness_mm[0] > self.slice_thickness_mm[1]:
            raise ValueError("a range of thickness must begin below its end")
        return self


class Embedding(Table):
    """Which layer of the network the monitor looks at, beside what the model answers."""

    output: Words
    """An output of the network (n, channels, …), averaged over space to at most 256 numbers."""


class PixelGate(Table):
    """A small network that says by the pixels whether a study is one that the model was made for."""

    network: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")]
    """Its ONNX file in the package's folder. It is given pictures (n, channels, rows, columns) of
    0 to 1, and answers (n, 1): how sure it is, 0 to 1. Of an image it sees the image; of a volume
    the middle planes along the three axes of `orientation`, and their mean counts."""
    size: tuple[Annotated[int, Field(ge=8, le=512)], Annotated[int, Field(ge=8, le=512)]]
    """Rows and columns that it sees."""
    least: Annotated[float, Field(gt=0, lt=1)]
    """Less sure than this, and the study is refused."""
    shows: Words
    """What it should show, for the reader: "a colour photograph of the fundus"."""


class Regulatory(Table):
    """What the law says of it (Regulation (EU) 2017/745, MDR)."""

    status: Literal["research", "in-house", "ce"]
    """Research only; made and used in one institution (MDR 5(5)); or CE-marked."""
    risk_class: Literal["I", "IIa", "IIb", "III"] | None = None
    """By MDR Annex VIII; a CE-marked device has one."""
    certificate: str = ""
    """Number and notified body, or where the declaration of MDR 5(5) is published."""

    @model_validator(mode="after")
    def _a_device_has_a_class(self) -> Self:
        if self.status == "ce" and not (self.risk_class and self.certificate):
            raise ValueError("a CE-marked model gives 'risk_class' and 'certificate'")
        return self


class Dataset(Table):
    """Where the examples came from."""

    name: Words
    licence: Words
    cases: Annotated[int, Field(gt=0)]
    source: str = ""
    """Address or reference."""


class Performance(Table):
    """One number of the validation."""

    metric: Words
    """E.g. ``dice``, ``auroc``, ``sensitivity``."""
    value: float
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % confidence interval."""
    output: str = ""
    """Name of the segment or category; none for all."""
    subgroup: str = "all"
    cases: Annotated[int, Field(gt=0)]


def words(
    population: Population | None, protocol: Protocol | None, regulatory: Regulatory | None
) -> list[tuple[str, str]]:
    """Return what a card says beside the input, a line each, for people."""
    rows = []
    if regulatory:
        parts = (regulatory.status, regulatory.risk_class or "", regulatory.certificate)
        rows.append(("status", ", ".join(part for part in parts if part)))
    if population:
        if population.age_years:
            rows.append(("age", "{:g} to {:g} years".format(*population.age_years)))
        if population.sexes:
            rows.append(("sex", ", ".join(population.sexes)))
        if population.described:
            rows.append(("population", population.described))
    if protocol:
        rows += [("body part", ", ".join(protocol.body_parts))] if protocol.body_parts else []
        rows += [("contrast", protocol.contrast)] if protocol.contrast else []
        rows += [("scanners", ", ".join(protocol.manufacturers))] if protocol.manufacturers else []
        rows += [("side", ", ".join(protocol.lateralities))] if protocol.lateralities else []
        if protocol.slice_thickness_mm:
            rows.append(("slice thickness", "{:g} to {:g} mm".format(*protocol.slice_thickness_mm)))
        rows += [("not for", one) for one in protocol.exclusions]
    return rows
