"""A package's sealed test set: volumes or images with the answers that it gave when it was made.

Each file in ``test/`` is a NumPy archive. Of a volume ``voxels``, ``affine`` and ``acquisition`` go
in, and ``label_map`` is what must come out; of an image ``pixels``, ``shown`` and ``acquisition``,
and ``label_map`` and ``probabilities``, one for each category. The digests cover them, so nobody
changes an answer unseen. ``acquisition`` is JSON, and holds what the package asks for; older files
have ``modality`` alone.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.domain.image import Image, InputKind
from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.package import TEST_SET
from clic_edge.inference.slide_testset import SealedSlide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Prediction
    from clic_edge.inference.runtime import Runtime

LARGEST_DIFFERENCE = 1e-3
"""Of a probability, for the same reason."""
LARGEST_SHARE = 1e-3
"""Share of the voxels found that may differ: other processors round another way."""
Seen = TypeVar("Seen", Volume, Image)
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
    farthest: float = 0.0
    """Largest distance of a category's probability from what it was."""

    @property
    def is_same(self) -> bool:
        """Whether the answer is the sealed one, but for rounding."""
        return (
            self.differing <= LARGEST_SHARE * max(self.found, 1)
            and self.farthest <= LARGEST_DIFFERENCE
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    """A case as it is read back; `probabilities` are none of a volume."""

    seen: Volume | Image
    label_map: NDArray[np.uint8]
    probabilities: NDArray[np.float64]


def with_acquisition(seen: Seen, words: Iterable[str]) -> Seen:
    """Return the volume or image with what ``age_years=40`` and the like say of its acquisition.

    Raises ConfigError ``test-acquisition``: no such attribute, or no such value.
    """
    known = [one.name for one in fields(Acquisition)]
    said = asdict(seen.acquisition)
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
    return replace(seen, acquisition=made.acquisition)


def seal(folder: Path, name: str, *, volume: Volume | Image, runtime: Runtime) -> Path:
    """Write a case with the answer that the package gives now; sign it again afterwards.

    Raises ConfigError ``test-exists``, and what the runtime raises of the volume or image.
    """
    path = folder / TEST_SET / f"{name}.npz"
    if path.exists():
        raise ConfigError("test-exists", f"{path} exists; a sealed answer is not overwritten.")
    seen = volume.narrowed(runtime.needs)
    prediction = runtime.predict(seen)
    path.parent.mkdir(exist_ok=True)
    made = np.array(_Made(acquisition=seen.acquisition).model_dump_json(exclude_defaults=True))
    write = partial(np.savez_compressed, path, acquisition=made, label_map=prediction.label_map)
    if isinstance(seen, Image):
        answers = _probabilities(prediction)
        write(pixels=seen.pixels, shown=np.array(seen.shown), probabilities=answers)
    else:
        write(voxels=seen.voxels, affine=seen.geometry.affine)
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
        if runtime.takes is InputKind.SLIDE:
            yield _replayed_slide(path, runtime)
            continue
        sealed = _read(path)
        prediction = runtime.predict(sealed.seen.narrowed(runtime.needs))
        probabilities = _probabilities(prediction)
        if probabilities.shape != sealed.probabilities.shape:
            raise _broken(path)
        yield Replayed(
            name=path.stem,
            found=int(np.count_nonzero(sealed.label_map)),
            differing=int(np.count_nonzero(prediction.label_map != sealed.label_map)),
            farthest=float(np.abs(probabilities - sealed.probabilities).max(initial=0)),
        )


def _replayed_slide(path: Path, runtime: Runtime) -> Replayed:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            sealed = SealedSlide(**{name: stored[name] for name in SealedSlide.__slots__})
    except _BROKEN as error:
        raise _broken(path) from error
    return Replayed(
        name=path.stem,
        found=int(np.count_nonzero(sealed.label_map)),
        differing=int(np.count_nonzero(sealed.differing(runtime))),
    )


def sealed_volumes(folder: Path) -> Iterator[tuple[str, Volume]]:
    """Yield name and volume of every sealed volume. Raises ConfigError ``test-unreadable``."""
    for path in sorted((folder / TEST_SET).glob("*.npz")):
        seen = _read(path).seen
        if isinstance(seen, Volume):
            yield path.stem, seen


def require_same(replayed: Replayed) -> None:
    """Return where a case is as it was sealed. Raises Defect ``test-differs``."""
    if not replayed.is_same:
        raise Defect(
            "test-differs",
            f"Test case {replayed.name}: {replayed.differing} of {replayed.found} voxels are not "
            "what the package found when it was sealed, and probabilities are up to "
            f"{replayed.farthest:.3f} away.",
        )


def _probabilities(prediction: Prediction) -> NDArray[np.float64]:
    return np.array([one.probability for one in prediction.categories], np.float64)


def _broken(path: Path) -> ConfigError:
    return ConfigError("test-unreadable", f"{path} is no sealed test case.")


def _read(path: Path) -> _Sealed:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            seen = _image(stored) if "pixels" in stored else _volume(stored)
            label_map = stored["label_map"]
            probabilities = stored["probabilities"] if "pixels" in stored else np.zeros(0)
    except _BROKEN as error:
        raise _broken(path) from error
    if label_map.shape != seen.geometry.shape:
        raise _broken(path)
    return _Sealed(seen=seen, label_map=label_map, probabilities=probabilities)


def _image(stored: Mapping[str, NDArray[np.generic]]) -> Image:
    pixels, (black, white) = stored["pixels"], stored["shown"].tolist()
    pixels.flags.writeable = False
    return Image(
        pixels=pixels,
        shown=(black, white),
        pixel_spacing_mm=None,
        source=SliceSource(instance_index=0, frame_number=1),
        acquisition=_acquisition(stored),
        subject_id="",
        series_uid="",
    )


def _volume(stored: Mapping[str, NDArray[np.generic]]) -> Volume:
    voxels, affine = stored["voxels"], stored["affine"].astype(np.float64)
    for array in (voxels, affine):
        array.flags.writeable = False
    return Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        acquisition=_acquisition(stored),
        subject_id="",
        series_uid="",
    )


def _acquisition(stored: Mapping[str, NDArray[np.generic]]) -> Acquisition:
    if "acquisition" not in stored:
        return Acquisition(modality=str(stored["modality"]))
    return _Made.model_validate_json(str(stored["acquisition"])).acquisition
