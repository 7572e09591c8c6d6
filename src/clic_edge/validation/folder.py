"""Labelled volumes in NIfTI, laid out in one of two ways.

```
DIR/images/NAME.nii.gz   DIR/labels/NAME.nii.gz
DIR/NAME/…image.nii.gz   DIR/NAME/…mask.nii.gz
```
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ENDINGS = (".nii.gz", ".nii")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_MM = 1e-3
_DIMENSIONS = 3
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    gzip.BadGzipFile,
    zlib.error,
    nib.filebasedimages.ImageFileError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledVolume:
    """One case: what the model sees and what a person drew, on the same grid."""

    name: str
    volume: Volume
    reference: NDArray[np.uint8] = field(repr=False)


def case_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the cases in `folder`, sorted.

    Raises
    ------
    ConfigError
        There is no image, or an image has no label.

    """
    if by_case := _cases(folder):
        return tuple(by_case)
    images, labels = (
        {_name(path) for path in sorted((folder / part).glob("*")) if _name(path)}
        for part in ("images", "labels")
    )
    if not images:
        raise ConfigError(
            "validation-empty",
            f"{folder / 'images'} holds no .nii or .nii.gz file, and {folder} no folder for each "
            "case with one image and one mask.",
        )
    for name in sorted(images - labels):
        raise ConfigError("validation-label-missing", f"{folder / 'labels'} has none for {name}.")
    return tuple(sorted(images))


def read_case(folder: Path, name: str, *, modality: str) -> LabelledVolume:
    """Return the case `name`; NIfTI knows no modality, so the caller vouches for it.

    Raises
    ------
    ConfigError
        A file is missing or unreadable, or image and label do not share a grid.

    """
    paths = case_files(folder, name)
    (image, image_affine), (label, label_affine) = map(_read, paths)
    if image.shape != label.shape or not np.allclose(image_affine, label_affine, atol=_SAME_MM):
        raise ConfigError("validation-grid", f"Image and label of {name} lie on different grids.")
    reference = label.astype(np.uint8)
    if not np.array_equal(reference, label):
        raise ConfigError("validation-label", f"The label of {name} is not made of small numbers.")
    reference.flags.writeable = False
    volume = _volume(image, image_affine, name=name, modality=modality)
    return LabelledVolume(name=name, volume=volume, reference=reference)


def case_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return where image and label of a case lie. Raises ConfigError ``validation-case``."""
    return _cases(folder).get(name) or (
        _found(folder / "images", name),
        _found(folder / "labels", name),
    )


def write_case(folder: Path, case: LabelledVolume) -> None:
    """Write image and label so that `read_case` finds them again; the same case, the same bytes."""
    affine = _RAS_TO_LPS @ case.volume.geometry.affine
    for kind, values in (
        ("images", case.volume.voxels.astype(np.float32)),
        ("labels", case.reference),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        # Named in no header: NIfTI has room for a description, and it stays empty.
        file = nib.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]  # nibabel's gap
        nib.save(file, folder / kind / f"{case.name}.nii.gz")


def read_volume(path: Path, *, modality: str) -> tuple[str, Volume]:
    """Return the name of an image in NIfTI and its volume; the caller vouches for the modality.

    Raises ConfigError as `read_case` raises.
    """
    image, image_affine = _read(path)
    name = _name(path) or path.name
    return name, _volume(image, image_affine, name=name, modality=modality)


def _volume(
    image: NDArray[np.float64], image_affine: NDArray[np.float64], *, name: str, modality: str
) -> Volume:
    voxels = image.astype(np.float32)
    affine = _RAS_TO_LPS @ image_affine
    for array in (voxels, affine):
        array.flags.writeable = False
    return Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        # The caller vouches for the unit, too: NIfTI of PET is taken to be SUV.
        acquisition=Acquisition(modality=modality, suv_bw_factor=1.0),
        subject_id=name,
        series_uid="",
    )


def _name(path: Path) -> str:
    """Return the case's name, or nothing for a file of another kind (``._x`` is macOS's)."""
    if path.name.startswith("."):
        return ""
    return next((path.name.removesuffix(end) for end in _ENDINGS if path.name.endswith(end)), "")


def _cases(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return image and mask by the name of their own folder; empty where it is laid out otherwise."""
    found = {}
    for case in (
        sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    ):
        files = [path for path in sorted(case.iterdir()) if _name(path)]
        images = [path for path in files if _name(path).endswith("image")]
        masks = [path for path in files if _name(path).endswith("mask")]
        if len(images) == len(masks) == 1:
            found[case.name] = (images[0], masks[0])
    return found


def _found(folder: Path, name: str) -> Path:
    for end in _ENDINGS:
        if (folder / f"{name}{end}").is_file():
            return folder / f"{name}{end}"
    raise ConfigError("validation-case", f"{folder} holds no {name}.")


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        file = nib.load(path)
        if not isinstance(file, nib.Nifti1Image):
            raise nib.filebasedimages.ImageFileError
        values = np.asarray(file.dataobj, dtype=np.float64)
        affine = np.asarray(file.affine, dtype=np.float64)
    except _UNREADABLE as error:
        raise ConfigError("validation-unreadable", f"{path} is no NIfTI file.") from error
    if values.ndim != _DIMENSIONS or np.linalg.det(affine[:3, :3]) == 0:
        raise ConfigError("validation-unreadable", f"{path} is not one volume in space.")
    return values, affine
