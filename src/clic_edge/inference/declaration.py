"""What a model package says about itself: the schema of ``model.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from clic_edge.domain.image import InputKind
from clic_edge.domain.prediction import Code, OperatingPoint, SegmentDefinition
from clic_edge.errors import ConfigError
from clic_edge.inference.card import (
    Dataset,
    Embedding,
    Performance,
    PixelGate,
    Population,
    Protocol,
    Regulatory,
    Table,
    words,
)
from clic_edge.inference.geometry_steps import GEOMETRY_STEPS
from clic_edge.inference.image_input import Category, Detectable, HeatMap, ImageInput, Question
from clic_edge.inference.intensity import INTENSITY_STEPS
from clic_edge.inference.tile_input import Score, TileInput
from clic_edge.inference.tissue import Tissue
from clic_edge.inference.volume_input import Input, Window

_SEGMENT_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_UNKNOWN_KEY = {"extra_forbidden", "unexpected_keyword_argument"}

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""Names the package's folder on a site, so it can name no other place."""
Kind = Literal["suv-max", "suv-mean", "suv-peak", "total-lesion-glycolysis"]
"""What can be measured in a segment: see `measuring`."""


PROTOCOL_FIELDS = {
    "body_parts": "body_part",
    "contrast": "contrast",
    "lateralities": "laterality",
    "manufacturers": "manufacturer",
    "slice_thickness_mm": "slice_thickness_mm",
}
"""Which field of `Acquisition` each key of the protocol asks for."""


class Declaration(Table):
    """The content of ``model.toml``."""

    id: Identifier
    version: str
    title: str
    manufacturer: str
    intended_use: str
    limits: tuple[str, ...]
    licence: str
    contact: str = ""
    """Whom a site writes to."""
    population: Population | None = None
    protocol: Protocol | None = None
    gate: PixelGate | None = None
    """What looks at the pixels first; None where attributes alone decide."""
    regulatory: Regulatory | None = None
    training: tuple[Dataset, ...] = ()
    """What it was trained on."""
    performance: tuple[Performance, ...] = ()
    """What its validation found."""
    operating_point: OperatingPoint | None = None
    """Where the model decides; stands in every result."""
    runtime: str = "onnx"
    """What runs it: the name of an entry point in the group ``clic_edge.runtimes``."""
    weights: str
    """Name, in the package's folder, of the network's file, or of a folder that holds a model."""
    volume: Input | None = Field(default=None, alias="input")
    windows: Window | None = Field(default=None, alias="window")
    image: ImageInput | None = None
    """What a network for images takes, in the place of `input` and `window`."""
    tiles: TileInput | None = None
    """What a network for slides takes, in their place. Segment 1 is tissue that was looked at;
    segment 2, if there is one, tiles whose first score reaches the operating point."""
    measurements: Annotated[tuple[Kind, ...], Field(strict=False)] = ()
    """What is measured in each segment beside its volume; SUV needs the quantity ``suv-bw``."""
    segments: Annotated[tuple[SegmentDefinition, ...], Field(max_length=255)] = ()
    """Number 0 is the background; a label map has room for 255 more. An output ``segments``."""
    questions: tuple[Question, ...] = ()
    """What a classifier of images answers; its logits, in this order: an output ``categories``."""
    detections: tuple[Detectable, ...] = ()
    """What is found at places of an image. An output ``detections`` (1, any number, 6): first and
    last column, first and last row of a box, each as x0, y0, x1, y1 in the network's pixels, then
    the probability, then which of these it is, from 0."""
    maps: tuple[HeatMap, ...] = ()
    """Pictures of numbers that the network makes beside its answers."""
    embedding: Embedding | None = None
    """What is logged of how the network sees, for the monitor; the answers don't depend on it."""

    @property
    def input(self) -> Input:
        """What a network for volumes takes. Raises ConfigError ``model-for-images``."""
        if self.volume is None:
            raise self.is_for(self.kind)
        return self.volume

    @property
    def window(self) -> Window:
        """How much a network for volumes sees at once. Raises ConfigError ``model-for-images``."""
        if self.windows is None:
            raise self.is_for(self.kind)
        return self.windows

    @property
    def images(self) -> ImageInput:
        """What a network for images takes. Raises ConfigError ``model-for-volumes``."""
        if self.image is None:
            raise self.is_for(self.kind)
        return self.image

    @property
    def slides(self) -> TileInput:
        """What a network for slides takes. Raises ConfigError, as `is_for`."""
        if self.tiles is None:
            raise self.is_for(self.kind)
        return self.tiles

    def is_for(self, kind: InputKind) -> ConfigError:
        """Return what is raised where the package was given something of another kind."""
        if kind is InputKind.IMAGE:
            return ConfigError("model-for-images", f"The package {self.id} is for images only.")
        if kind is InputKind.SLIDE:
            return ConfigError("model-for-slides", f"The package {self.id} is for slides only.")
        return ConfigError("model-for-volumes", f"The package {self.id} is for volumes only.")

    @property
    def kind(self) -> InputKind:
        """What the network looks at."""
        if self.tiles:
            return InputKind.SLIDE
        return InputKind.IMAGE if self.image else InputKind.VOLUME

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality (0008,0060) of what it takes, any of them."""
        if self.tiles:
            return ("SM",)
        return self.image.modalities if self.image else (self.input.modality,)

    @property
    def needs(self) -> frozenset[str]:
        """Every field of `Acquisition` that the model, or the gate before it, asks for."""
        asked = {*(self.image or self.tiles or self.input).needs}
        if self.population:
            asked |= {"age_years"} if self.population.age_years else set()
            asked |= {"sex"} if self.population.sexes else set()
        if self.protocol:
            asked |= {
                field
                for key, field in PROTOCOL_FIELDS.items()
                if getattr(self.protocol, key) not in (None, ())
            }
        return frozenset(asked)

    def told(self) -> list[tuple[str, str]]:
        """Return what the card says beside the input, a line each, for people."""
        return words(self.population, self.protocol, self.regulatory)

    @property
    def gives(self) -> tuple[str, ...]:
        """What comes out, in words for people."""
        return (
            *(f"{one.label} ({one.property_type.meaning})" for one in self.segments),
            *(
                f"{question.concept.meaning}: {' or '.join(a.label for a in question.categories)}"
                for question in self.questions
            ),
            *(f"{one.label}, each in its place" for one in self.detections),
            *(one.label for one in self.maps),
            *(one.label for one in (self.tiles.scores if self.tiles else ())),
        )

    @model_validator(mode="after")
    def _measures_what_it_has(self) -> Self:
        if self.measurements and (self.volume is None or self.volume.quantity != "suv-bw"):
            raise ValueError("'measurements' in SUV need [input] quantity = \"suv-bw\"")
        return self

    @model_validator(mode="after")
    def _can_show_its_layer(self) -> Self:
        if self.embedding and (self.runtime != "onnx" or self.tiles):
            raise ValueError("an 'embedding' needs the runtime \"onnx\", on volumes or images")
        return self

    @model_validator(mode="after")
    def _takes_one_kind(self) -> Self:
        if sum(map(bool, (self.image, self.tiles, self.volume or self.windows))) > 1:
            raise ValueError(
                "give '[input]' and '[window]' for volumes, '[image]' for images, or '[tiles]'"
                " for slides"
            )
        if self.tiles:
            return self._marks_tiles()
        if not self.image and not (self.volume and self.windows and self.segments):
            raise ValueError("a package for volumes gives 'input', 'window' and 'segments'")
        if not self.image and (self.questions or self.maps or self.detections):
            raise ValueError("'questions', 'detections' and 'maps' are for '[image]' only")
        if self.image and not (self.segments or self.questions or self.detections):
            raise ValueError("a package for images gives 'questions', 'detections' or 'segments'")
        return self

    def _marks_tiles(self) -> Self:
        if len(self.segments) not in {1, 2} or self.questions or self.detections or self.maps:
            raise ValueError("a package for slides gives one or two 'segments', and its 'scores'")
        if len(self.segments) == 2 and self.operating_point is None:  # noqa: PLR2004 - a mark
            raise ValueError("tiles are marked from the 'threshold' of an 'operating_point'")
        if self.gate:
            raise ValueError("a package for slides has no 'gate'; its tissue is looked for instead")
        return self

    @model_validator(mode="after")
    def _decides_in_one_place(self) -> Self:
        names = [one.name for question in self.questions for one in question.categories]
        thresholds = {one.threshold for question in self.questions for one in question.categories}
        thresholds |= {one.threshold for one in self.detections}
        if len(set(names)) < len(names):
            raise ValueError("give each category a name of its own")
        if any(one.category and one.category not in names for one in self.maps):
            raise ValueError("a map speaks of a category that is not there")
        for kind in (self.maps, self.detections):
            if len({one.name for one in kind}) < len(kind):
                raise ValueError("give each map and each detection a name of its own")
        point = self.operating_point
        if (self.questions or self.detections) and point and point.threshold not in thresholds:
            raise ValueError("the 'operating_point' is the 'threshold' of nothing")
        return self

    @field_validator("weights")
    @classmethod
    def _stays_in_the_folder(cls, value: str) -> str:
        if Path(value).name != value or value == "..":
            raise ValueError("give the name of a file in the package's folder")
        return value

    @field_validator("segments")
    @classmethod
    def _can_be_told_apart(
        cls, value: tuple[SegmentDefinition, ...]
    ) -> tuple[SegmentDefinition, ...]:
        if [segment.number for segment in value] != list(range(1, len(value) + 1)):
            raise ValueError("number the segments 1, 2, 3 and so on, in this order")
        if len({segment.name for segment in value}) < len(value):
            raise ValueError("give each segment a name of its own")
        if not all(_SEGMENT_NAME.fullmatch(segment.name) for segment in value):
            raise ValueError("name segments in letters a to z, digits, '-' and '_'")
        return value


def read_declaration(path: Path) -> Declaration:
    """Return the declaration in the file `path`.

    Raises
    ------
    ConfigError
        The file is missing, no TOML, or a key or value is wrong; the sentence names the key, and
        for one that is unknown the nearest that is valid.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Declaration.model_validate_json(json.dumps(content, default=str))
    except OSError as error:
        raise ConfigError("model-incomplete", f"{path.parent} holds no {path.name}.") from error
    except ValidationError as error:
        raise ConfigError("model-declaration", f"{path}: {_first_complaint(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("model-declaration", f"{path} is no TOML file: {error}.") from error


def _first_complaint(error: ValidationError) -> str:
    """Return what is wrong and its key; an unknown key explains a missing one, so it goes first."""
    complaints = error.errors(include_url=False)
    complaint = next((c for c in complaints if c["type"] in _UNKNOWN_KEY), complaints[0])
    place = [str(part) for part in complaint["loc"]]
    name = ".".join(place) or "the whole"
    if complaint["type"] == "union_tag_invalid":
        known = re.findall("'(.*?)'", complaint["ctx"]["expected_tags"])
        (nearest,) = get_close_matches(complaint["ctx"]["tag"], known, n=1, cutoff=0)
        return (
            f"{name}: unknown step {complaint['ctx']['tag']}; the nearest valid one is {nearest}."
        )
    if complaint["type"] not in _UNKNOWN_KEY:
        return f"{name}: {complaint['msg']}."
    nearest = get_close_matches(place[-1], _valid_keys(place[:-1]), n=1, cutoff=0)[0]
    return f"unknown key {name}; the nearest valid one is {nearest}."


def _valid_keys(place: list[str]) -> list[str]:
    """Return the keys of the table at `place`, e.g. ``["segments", "0", "category"]``."""
    tables: dict[str, type] = {
        "input": Input,
        "window": Window,
        "operating_point": OperatingPoint,
        "population": Population,
        "protocol": Protocol,
        "gate": PixelGate,
        "regulatory": Regulatory,
        "training": Dataset,
        "performance": Performance,
        "image": ImageInput,
        "questions": Question,
        "categories": Category,
        "detections": Detectable,
        "embedding": Embedding,
        "finding": Code,
        "site": Code,
        "maps": HeatMap,
        "tiles": TileInput,
        "tissue": Tissue,
        "scores": Score,
        "quantity": Code,
        "unit": Code,
        "category": Code,
        "property_type": Code,
        "modifier": Code,
        "concept": Code,
        "value": Code,
    }
    steps = {"geometry": GEOMETRY_STEPS, "intensity": INTENSITY_STEPS}
    names = [part for part in place if not part.isdigit()]
    if not names:
        return [one.alias or name for name, one in Declaration.model_fields.items()]
    for kind in steps.keys() & {*names}:
        tables |= steps[kind]
    return list(tables.get(names[-1], SegmentDefinition).__annotations__)
