"""A package's sealed test set: volumes with the answers that it gave when it was made.

Each file in ``test/`` is a NumPy archive: ``voxels``, ``affine`` and ``acquisition`` go in,
``label_map`` is what must come out. The digests cover them, so nobody changes an answer unseen.
``acquisition`` is JSON, and holds what the package asks for; older files have ``modality`` alone.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.package import TEST_SET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.inference.runtime import Runtime

LARGEST_SHARE = 1e-3
"""Share of the voxels found that may differ: other processors round another way."""
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class _Made(BaseModel):
    """How the images of a case were made."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    acquisition: Acquisition


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One case of the test set, run again."""

    name: str
    found: int
    """Voxels of any segment that are to be found."""
    differing: int
    """Voxels with another label than they had."""

    @property
    def is_same(self) -> bool:
        """Whether the answer is the sealed one, but for rounding."""
        return self.differing <= LARGEST_SHARE * max(self.found, 1)


def with_acquisition(volume: Volume, words: Iterable[str]) -> Volume:
    """Return the volume with what ``age_years=40`` and the like say of its acquisition.

    Raises ConfigError ``test-acquisition``: no such attribute, or no such value.
    """
    known = [one.name for one in fields(Acquisition)]
    said = asdict(volume.acquisition)
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
            raise ConfigError(
                "test-acquisition", f"{word}: there is no attribute '{name}'; is it '{nearest}'?"
            )
        said[name] = value
    try:
        made = _Made.model_validate({"acquisition": said})
    except ValidationError as error:
        (complaint, *_) = error.errors(include_url=False)
        raise ConfigError(
            "test-acquisition", f"{complaint['loc'][-1]}: {complaint['msg']}."
        ) from error
    return replace(volume, acquisition=made.acquisition)


def seal(folder: Path, name: str, *, volume: Volume, runtime: Runtime) -> Path:
    """Write a case with the answer that the package gives now; sign it again afterwards.

    Raises ConfigError ``test-exists``, and what the runtime raises of the volume.
    """
    path = folder / TEST_SET / f"{name}.npz"
    if path.exists():
        raise ConfigError("test-exists", f"{path} exists; a sealed answer is not overwritten.")
    seen = volume.narrowed(runtime.needs)
    prediction = runtime.predict(seen)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path,
        voxels=seen.voxels,
        affine=seen.geometry.affine,
        acquisition=np.array(
            _Made(acquisition=seen.acquisition).model_dump_json(exclude_defaults=True)
        ),
        label_map=prediction.label_map,
    )
    return path


def replay(folder: Path, runtime: Runtime) -> Iterator[Replayed]:
    """Run every sealed case again and yield how far it is from its answer.

    Raises
    ------
    ConfigError
        ``test-unreadable``.
    Refusal, Defect
        What the runtime raises.

    """
    for path in sorted((folder / TEST_SET).glob("*.npz")):
        volume, expected = _read(path)
        label_map = runtime.predict(volume.narrowed(runtime.needs)).label_map
        yield Replayed(
            name=path.stem,
            found=int(np.count_nonzero(expected)),
            differing=int(np.count_nonzero(label_map != expected)),
        )


def sealed_volumes(folder: Path) -> Iterator[tuple[str, Volume]]:
    """Yield name and volume of every sealed case. Raises ConfigError ``test-unreadable``."""
    for path in sorted((folder / TEST_SET).glob("*.npz")):
        yield path.stem, _read(path)[0]


def require_same(replayed: Replayed) -> None:
    """Return where a case is as it was sealed. Raises Defect ``test-differs``."""
    if not replayed.is_same:
        raise Defect(
            "test-differs",
            f"Test case {replayed.name}: {replayed.differing} of {replayed.found} voxels "
            "are not what the package found when it was sealed.",
        )


def _read(path: Path) -> tuple[Volume, NDArray[np.uint8]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            voxels, affine = stored["voxels"], stored["affine"]
            expected, acquisition = stored["label_map"], _acquisition(stored)
    except _BROKEN as error:
        raise ConfigError("test-unreadable", f"{path} is no sealed test case.") from error
    for array in (voxels, affine):
        array.flags.writeable = False
    if expected.shape != voxels.shape:
        raise ConfigError("test-unreadable", f"{path} is no sealed test case.")
    volume = Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        acquisition=acquisition,
        subject_id="",
        series_uid="",
    )
    return volume, expected


def _acquisition(stored: Mapping[str, NDArray[np.str_]]) -> Acquisition:
    if "acquisition" not in stored:
        return Acquisition(modality=str(stored["modality"]))
    return _Made.model_validate_json(str(stored["acquisition"])).acquisition
