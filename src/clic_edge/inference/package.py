"""A model package: a folder that says what it may be run on and what comes out.

```
models/hippocampus/
  model.toml     what the model is, takes and gives (this module's `Declaration`)
  model.onnx     the network: (n, 1, x, y, z) normalised intensities to (n, classes, x, y, z) logits
  digests.json   SHA-256 of each of the two; a byte that differs stops the appliance
  README.md      the card, for people
```
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clic_edge.domain.prediction import Code, ModelIdentity, SegmentDefinition
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.transforms import PATIENT_AXES

DECLARATION = "model.toml"
DIGESTS = "digests.json"

_UNKNOWN_KEY = {"extra_forbidden", "unexpected_keyword_argument"}

Length = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(gt=0)]
Percentile = Annotated[float, Field(ge=0, le=100)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Input(_Table):
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
    percentile_low: Percentile
    percentile_high: Percentile
    """Intensities are clipped at these percentiles before they are normalised."""

    @field_validator("orientation")
    @classmethod
    def _names_three_axes(cls, value: str) -> str:
        if sorted(PATIENT_AXES[letter][0] for letter in value if letter in PATIENT_AXES) != [
            0,
            1,
            2,
        ]:
            raise ValueError("give one letter of each pair RL, AP and SI, e.g. 'RAS'")
        return value

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> Self:
        pairs = (
            self.source_spacing_mm,
            (self.percentile_low, self.percentile_high),
            *zip(self.smallest_mm, self.largest_mm, strict=True),
        )
        if any(low >= high for low, high in pairs):
            raise ValueError("a range must begin below its end")
        return self


class Window(_Table):
    """How much the network sees at once, and how windows overlap."""

    shape: tuple[Size, Size, Size]
    overlap: Annotated[float, Field(ge=0, lt=1)]
    """Share of a window that its neighbour sees too."""
    batch: Size
    """Windows in one forward pass."""


class Declaration(_Table):
    """The content of ``model.toml``."""

    id: str
    version: str
    title: str
    manufacturer: str
    intended_use: str
    limits: tuple[str, ...]
    licence: str
    weights: str
    """Name of the network's file in the package's folder."""
    input: Input
    window: Window
    segments: Annotated[tuple[SegmentDefinition, ...], Field(min_length=1)]

    @field_validator("weights")
    @classmethod
    def _stays_in_the_folder(cls, value: str) -> str:
        if Path(value).name != value:
            raise ValueError("give the name of a file in the package's folder")
        return value

    @field_validator("segments")
    @classmethod
    def _numbers_have_no_gaps(
        cls, value: tuple[SegmentDefinition, ...]
    ) -> tuple[SegmentDefinition, ...]:
        if [segment.number for segment in value] != list(range(1, len(value) + 1)):
            raise ValueError("number the segments 1, 2, 3 and so on, in this order")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A package whose bytes are those that its digests were written for."""

    folder: Path
    declaration: Declaration
    digest: str
    """SHA-256 over the names and digests of all files that say or do something."""

    @property
    def identity(self) -> ModelIdentity:
        """Who made a prediction, for the result objects and the ledger."""
        declared = self.declaration
        return ModelIdentity(
            model_id=declared.id,
            version=declared.version,
            title=declared.title,
            manufacturer=declared.manufacturer,
            digest=self.digest,
        )

    @property
    def weights_path(self) -> Path:
        """Where the network's file lies."""
        return self.folder / self.declaration.weights

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """Return size and modification time of each file: cheap, and moves when a file does."""
        try:
            stats = [path.stat() for path in _files(self.folder, self.declaration)]
        except OSError as error:
            raise Defect("model-changed", "A file of the model package is gone.") from error
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)

    def verify(self) -> None:
        """Read every file again.

        Raises
        ------
        Defect
            ``model-changed``: a byte differs from what was loaded.

        """
        try:
            current = _overall(_digests(self.folder, self.declaration))
        except OSError as error:
            raise Defect("model-changed", "A file of the model package is gone.") from error
        if current != self.digest:
            raise Defect("model-changed", "The model package changed since it was loaded.")


def load_package(folder: Path) -> ModelPackage:
    """Return the package in `folder`, with every byte checked.

    Raises
    ------
    ConfigError
        The folder, a file or a key is missing or wrong; the sentence names it.
    Defect
        ``model-changed``: a file is not the one that its digest was written for.

    """
    declaration = _read_declaration(folder)
    try:
        found = _digests(folder, declaration)
        written = json.loads((folder / DIGESTS).read_text())
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise ConfigError("model-incomplete", f"{folder} holds no {missing}.") from error
    except ValueError as error:
        raise ConfigError("model-digests", f"{folder / DIGESTS} is no JSON file.") from error
    if found != written:
        raise Defect("model-changed", f"The files in {folder} are not those of {DIGESTS}.")
    return ModelPackage(folder=folder, declaration=declaration, digest=_overall(found))


def write_digests(folder: Path) -> ModelPackage:
    """Return the package after its digests were written anew: the last step of making one."""
    digests = _digests(folder, _read_declaration(folder))
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    return load_package(folder)


def _files(folder: Path, declaration: Declaration) -> tuple[Path, Path]:
    return folder / DECLARATION, folder / declaration.weights


def _digests(folder: Path, declaration: Declaration) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder, declaration)
    }


def _overall(digests: dict[str, str]) -> str:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read_declaration(folder: Path) -> Declaration:
    path = folder / DECLARATION
    try:
        text = path.read_text(encoding="utf-8")
        return Declaration.model_validate_json(json.dumps(tomllib.loads(text), default=str))
    except OSError as error:
        raise ConfigError("model-incomplete", f"{folder} holds no {DECLARATION}.") from error
    except ValidationError as error:
        raise ConfigError("model-declaration", f"{path}: {_first_complaint(error)}") from error
    except ValueError as error:
        raise ConfigError("model-declaration", f"{path} is no TOML file: {error}.") from error


def _first_complaint(error: ValidationError) -> str:
    """Return what is wrong and its key; an unknown key explains a missing one, so it goes first."""
    complaints = error.errors(include_url=False)
    complaint = next((c for c in complaints if c["type"] in _UNKNOWN_KEY), complaints[0])
    place = [str(part) for part in complaint["loc"]]
    name = ".".join(place) or "the whole"
    if complaint["type"] not in _UNKNOWN_KEY:
        return f"{name}: {complaint['msg']}."
    nearest = get_close_matches(place[-1], _valid_keys(place[:-1]), n=1, cutoff=0)[0]
    return f"unknown key {name}; the nearest valid one is {nearest}."


def _valid_keys(place: list[str]) -> list[str]:
    """Return the keys of the table at `place`, e.g. ``["segments", "0", "category"]``."""
    tables = {"input": Input, "window": Window, "category": Code, "property_type": Code}
    names = [part for part in place if not part.isdigit()]
    table = tables.get(names[-1], SegmentDefinition) if names else Declaration
    return list(table.__annotations__)
