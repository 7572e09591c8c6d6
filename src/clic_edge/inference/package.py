"""A model package: a folder that says what it may be run on and what comes out.

```
models/hippocampus/
  model.toml     what the model is, takes and gives (`declaration.Declaration`)
  model.onnx     the network: (n, 1, x, y, z) normalised intensities to (n, classes, x, y, z) logits
  gate.onnx      a small network that looks at the pixels first (`pixel_gate`), if it has one
  test/          cases with the answers that the package gave when it was made, if it has any
  lineage.json   where the network comes from (`lineage`), if `clic-edge train` made it
  digests.json   SHA-256 of each of these files; a byte that differs stops the appliance
  signature.json who vouches for them (`signing`)
  README.md      the card, for people
```
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge.domain.prediction import ModelIdentity
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.lineage import LINEAGE

if TYPE_CHECKING:
    from clic_edge.inference.declaration import Declaration

DECLARATION = "model.toml"
DIGESTS = "digests.json"
CARD = "README.md"
TEST_SET = "test"


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
            intended_use=" ".join(declared.intended_use.split()),
            operating_point=declared.operating_point,
        )

    @property
    def weights_path(self) -> Path:
        """Where the network's file lies, or the folder of a bundle or an application."""
        return self.folder / self.declaration.weights

    @property
    def names(self) -> tuple[str, ...]:
        """Paths in the folder of all files that the digests cover."""
        return tuple(
            path.relative_to(self.folder).as_posix()
            for path in _files(self.folder, self.declaration)
        )

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
    declaration = read_declaration(folder / DECLARATION)
    try:
        found = _digests(folder, declaration)
        written = json.loads((folder / DIGESTS).read_text())
    except OSError as error:
        missing = Path(error.filename).name
        raise ConfigError("model-incomplete", f"{folder} holds no readable {missing}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("model-digests", f"{folder / DIGESTS} is no JSON file.") from error
    if found != written:
        raise Defect("model-changed", f"The files in {folder} are not those of {DIGESTS}.")
    return ModelPackage(folder=folder, declaration=declaration, digest=_overall(found))


def write_digests(folder: Path) -> ModelPackage:
    """Return the package after its digests were written anew: the last step of making one.

    Raises ConfigError as `load_package` raises.
    """
    declaration = read_declaration(folder / DECLARATION)
    try:
        digests = _digests(folder, declaration)
    except OSError as error:
        missing = Path(error.filename).name
        raise ConfigError("model-incomplete", f"{folder} holds no readable {missing}.") from error
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    return load_package(folder)


def _files(folder: Path, declaration: Declaration) -> tuple[Path, ...]:
    weights = folder / declaration.weights
    network = _within(weights) if weights.is_dir() else (weights,)
    lineage = [path for path in (folder / LINEAGE,) if path.exists()]
    gate = [folder / declaration.gate.network] if declaration.gate else []
    return folder / DECLARATION, *network, *gate, *lineage, *_within(folder / TEST_SET)


def _within(folder: Path) -> tuple[Path, ...]:
    """Return every file in a folder, in whatever depth; raises ConfigError for a linked folder."""
    paths = sorted(folder.rglob("*"))
    if any(path.is_symlink() and path.is_dir() for path in paths):
        raise ConfigError(
            "model-elsewhere",
            f"{folder} holds a link to a folder, whose files no digest covers; put them there.",
        )
    return tuple(path for path in paths if path.is_file())


def _digests(folder: Path, declaration: Declaration) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder, declaration)
    }


def _overall(digests: dict[str, str]) -> str:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()
