"""What a package says of slides: at which magnification a network sees tiles, and what it gives."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from clic_edge.domain.prediction import Code  # noqa: TC001 - pydantic reads it when it runs
from clic_edge.inference.attributes import AttributeNames  # noqa: TC001 - as above
from clic_edge.inference.card import Table, Words
from clic_edge.inference.image_input import Name  # noqa: TC001 - as above
from clic_edge.inference.intensity import Step  # noqa: TC001 - as above
from clic_edge.inference.tissue import Tissue  # noqa: TC001 - as above

Length = Annotated[float, Field(gt=0)]
Pixels = Annotated[int, Field(gt=0, le=4096)]


class Score(Table):
    """One number that the network gives each tile."""

    name: Name
    label: Words
    """What a reader sees."""
    quantity: Code
    """What the number is."""
    unit: Code
    """UCUM."""
    activation: Literal["none", "sigmoid"] = "none"
    """``sigmoid``: the network gives a logit, and the number is a probability."""


class TileInput(Table):
    """What the network was made for; a slide outside of it is refused."""

    spacing_mm: Length
    """How far apart the pixels lie that the network sees: the magnification."""
    size: Pixels
    """Rows and columns of a tile that the network sees."""
    stride: Pixels
    """From tile to tile; the size, or less where tiles overlap."""
    batch: Annotated[int, Field(gt=0, le=1024)]
    """Tiles in one forward pass."""
    tissue: Tissue
    """How tissue is found; tiles without it are not looked at."""
    tissue_share: Annotated[float, Field(gt=0, le=1)]
    """Least share of a tile that is tissue."""
    intensity: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    """What is done to red, green and blue of 0 to 255, in this order."""
    scores: Annotated[tuple[Score, ...], Field(min_length=1)]
    """What comes out, in the order of the network's output: (tiles, scores)."""
    attributes: AttributeNames = ()
    """What the model asks of the acquisition beside the modality, as of a volume."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Every field of `Acquisition` that the package may see."""
        return ("modality", *self.attributes)

    @model_validator(mode="after")
    def _covers_the_slide(self) -> Self:
        if self.stride > self.size:
            raise ValueError("a 'stride' beyond the 'size' leaves tissue out")
        if self.tissue.spacing_mm < self.spacing_mm:
            raise ValueError("tissue is looked for from farther away than tiles are looked at")
        if len({one.name for one in self.scores}) < len(self.scores):
            raise ValueError("give each score a name of its own")
        return self
