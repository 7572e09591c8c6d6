"""What a package says of images: how a network sees one, and what its outputs mean."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from clic_edge.domain.prediction import Code
from clic_edge.inference.attributes import AttributeNames  # noqa: TC001 - pydantic reads it when it runs
from clic_edge.inference.card import Table, Words
from clic_edge.inference.intensity import Normalise, Step

Size = Annotated[int, Field(gt=0, le=16384)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")]
"""Short and stable: in tables and in the names of features, which have 64 letters."""
Share = Annotated[float, Field(gt=0, lt=1)]

QUANTITIES = {
    "class-activation": Code(value="130402", scheme="DCM", meaning="Class activation"),
    "gradient-class-activation": Code(
        value="130403", scheme="DCM", meaning="Gradient-weighted class activation"
    ),
    "saliency": Code(value="130404", scheme="DCM", meaning="Saliency"),
    "probability": Code(value="122157", scheme="DCM", meaning="Probability"),
}
"""What the numbers of a map are (CID 7180)."""
NO_UNITS = Code(value="1", scheme="UCUM", meaning="no units")


class ImageInput(Table):
    """What the network was made for; an image outside of it is refused."""

    modalities: Annotated[tuple[Words, ...], Field(min_length=1)]
    """Modality (0008,0060), any of them."""
    channels: Literal[1, 3]
    """1: grey; 3: red, green and blue. A colour image without colour counts as grey."""
    values: Literal["display", "modality"] = "display"
    """``display``: 0 to 255 as a screen shows the image; ``modality``: a grey image's own unit."""
    size: tuple[Size, Size]
    """Rows and columns that the network sees."""
    fit: Literal["stretch", "pad", "crop"]
    """How another shape becomes that: each axis by itself; all of it with its aspect kept, in the
    middle of `padding`; or its largest middle part."""
    sampling: Literal["area", "bilinear", "bicubic"]
    """``area``: the mean over a pixel's extent. The others are Pillow's, widened where the image
    shrinks, so that fine detail does not come back as a false pattern."""
    padding: float = 0.0
    """Beside the image, in the unit of `values`."""
    smallest: tuple[Size, Size]
    """Least rows and columns of an image."""
    intensity: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    """What is done to the values, in this order, after the image has the network's size."""
    attributes: AttributeNames = ()
    """What the model asks of the acquisition beside the modality, as of a volume."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Every field of `Acquisition` that the package may see."""
        return ("modality", *self.attributes)

    @model_validator(mode="after")
    def _normalises_its_channels(self) -> Self:
        if self.values == "modality" and self.channels != 1:
            raise ValueError("only grey images have values in a modality's unit")
        for step in self.intensity:
            if isinstance(step, Normalise) and len(step.mean) != self.channels:
                raise ValueError("'normalise' takes one 'mean' for each channel")
        return self


class Category(Table):
    """One answer to a question."""

    name: Name
    label: Words
    """What a reader sees."""
    value: Code
    """The answer, e.g. (21594007, SCT, "Malignant")."""
    threshold: Share | None = None
    """A probability from here upward chooses it; None leaves that to the others."""


class Question(Table):
    """What a classifier is asked of each image."""

    concept: Code
    """The question."""
    activation: Literal["softmax", "sigmoid", "ordinal"]
    """How logits become probabilities. ``softmax``: one answer is right. ``sigmoid``: each may
    be. ``ordinal``: grades in order, a logit for being above each but the last (CORAL)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """By which the logits are divided first, so that probabilities are calibrated."""
    categories: Annotated[tuple[Category, ...], Field(min_length=1)]

    @property
    def logits(self) -> int:
        """How many values of the network's output are this question's."""
        return len(self.categories) - (self.activation == "ordinal")

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if self.activation != "sigmoid" and len(self.categories) < 2:  # noqa: PLR2004 - a choice
            raise ValueError("one right answer of several needs at least two 'categories'")
        thresholds = [one.threshold for one in self.categories if one.threshold is not None]
        if self.activation == "ordinal" and thresholds:
            raise ValueError("grades in order have no 'threshold': the median grade is chosen")
        if self.activation == "softmax" and len(thresholds) == len(self.categories):
            raise ValueError("one category needs no 'threshold': it is right where no other is")
        return self


class Detectable(Table):
    """What a detector finds at places of an image."""

    name: Name
    label: Words
    """What a reader sees."""
    finding: Code
    """E.g. (4147007, SCT, "Mass")."""
    site: Code | None = None
    """Where in the body, if it is always the same."""
    threshold: Share
    """Boxes of this probability and above are told; the network has left out doubles."""


class HeatMap(Table):
    """A picture that the network makes beside its answers: an output of the same name."""

    name: Name
    label: Words
    kind: Literal["class-activation", "gradient-class-activation", "saliency", "probability"]
    """What its numbers are: say nothing better than the truth."""
    category: str = ""
    """Of which category it speaks."""

    @field_validator("name")
    @classmethod
    def _has_an_output_of_its_own(cls, value: str) -> str:
        if value in {"categories", "detections", "segments"}:
            raise ValueError("an output of this name means something else")
        return value
