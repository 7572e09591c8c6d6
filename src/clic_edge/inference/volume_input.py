"""What a package says of volumes: how a network sees one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from clic_edge.inference.attributes import AttributeNames  # noqa: TC001 - pydantic reads it when it runs
from clic_edge.inference.card import Table
from clic_edge.inference.geometry_steps import GeometryStep, begins_with_orient
from clic_edge.inference.intensity import Normalise, Step

_TO_LPS = str.maketrans("RAI", "LPS")

Length = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(gt=0)]


class Input(Table):
    """What the network was made for; a volume outside of it is refused."""

    modality: str
    """Modality (0008,0060)."""
    orientation: str
    """Where the network's three axes point, e.g. ``RAS``: right, anterior, superior."""
    spacing_mm: tuple[Length, Length, Length]
    """Voxel spacing that the network sees, along its own axes."""
    source_spacing_mm: tuple[Length, Length]
    """Finest and coarsest spacing of a volume along any of its axes."""
    smallest_mm: tuple[Length, Length, Length]
    """Least extent of a volume along the network's axes."""
    largest_mm: tuple[Length, Length, Length]
    """Greatest extent of a volume along the network's axes."""
    largest_tilt_deg: Annotated[float, Field(ge=0, lt=45)]
    """Greatest angle between an axis of the volume and the nearest axis of the network."""
    quantity: Literal["suv-bw"] | None = None
    """What the voxels are turned into first; None leaves them in the modality's unit."""
    geometry: Annotated[
        tuple[GeometryStep, ...], Field(strict=False), AfterValidator(begins_with_orient)
    ] = ()
    """How the volume is laid out, in this order; none for ``orient``, then ``average``."""
    intensity: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    """What is done to the values, in this order, after the volume lies on the network's grid."""
    attributes: AttributeNames = ()
    """What the model asks of the acquisition beside the modality, e.g. ``echo_time_ms``; it is
    told nothing else. The names are those of `Acquisition`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Every field of `Acquisition` that the package may see."""
        factor = ("suv_bw_factor",) if self.quantity == "suv-bw" else ()
        return ("modality", *factor, *self.attributes)

    @field_validator("intensity")
    @classmethod
    def _has_one_channel(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        if any(isinstance(one, Normalise) and len(one.mean) > 1 for one in value):
            raise ValueError("a volume has one channel: give one 'mean' and one 'deviation'")
        return value

    @field_validator("orientation")
    @classmethod
    def _names_three_axes(cls, value: str) -> str:
        if sorted(value.translate(_TO_LPS)) != sorted("LPS"):
            raise ValueError("give one letter of each pair RL, AP and SI, e.g. 'RAS'")
        return value

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> Self:
        pairs = (
            self.source_spacing_mm,
            *zip(self.smallest_mm, self.largest_mm, strict=True),
        )
        if any(low >= high for low, high in pairs):
            raise ValueError("a range must begin below its end")
        return self


class Window(Table):
    """How much the network sees at once, and how windows overlap."""

    shape: tuple[Size, Size, Size]
    overlap: Annotated[float, Field(ge=0, lt=1)]
    """Share of a window that its neighbour sees too."""
    batch: Size
    """Windows in one forward pass."""
