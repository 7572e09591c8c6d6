"""The files of the de-identification benchmark: slices made in code, and real ones where there are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from factories import Patient, Stack, file_bytes, make_datasets, make_slice  # noqa: E402 - on the path above
from planted import Planted, planted  # noqa: E402 - on the path above
from planted_bases import presentation, rt_structures, segmentation  # noqa: E402 - on the path above

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(os.environ.get("CLIC_EDGE_TEST_DATA", ROOT.parent / "shared" / "data")) / "dicom"
WHOLE = ("pt-wholebody-ge", "seg-sr", "odd", "modalities", "charset", "transfer-syntaxes")
"""Folders taken whole: odd objects, and those that refer to each other."""
LARGEST = 8_000_000
LARGE_SIZES = (512, 4096, 8192)
"""Rows and columns of single large objects: 0.5, 32 and 128 MB."""


def slices(count: int, size: int) -> Iterator[bytes]:
    """Yield CT slices of noise that looks like tissue."""
    noise = np.random.default_rng(1)
    stack = Stack(
        patient=Patient(), modality="CT", description="Thorax 1.0 B30f", intercept=-1024.0
    )
    for index in range(count):
        pixels = noise.normal(1000, 60, (size, size)).astype(np.int16)
        ds = make_slice(stack, pixels, index)
        ds.BodyPartExamined = "CHEST"
        yield file_bytes(ds)


def real(count: int) -> list[Path]:
    """Return real files, up to `count`; none where the data is not there."""
    everything = [
        path
        for path in sorted(DATA.rglob("*"))
        if path.is_file()
        and path.suffix not in {".csv", ".md", ".txt", ".gz", ".json", ".py"}
        and path.stat().st_size < LARGEST
    ]
    first = [path for path in everything if path.relative_to(DATA).parts[0] in WHOLE]
    rest = [path for path in everything if path not in first]
    missing = max(count - len(first), 1)
    return (first + rest[:: max(1, len(rest) // missing)])[:count]


def write_files(folder: Path, made: int, found: int) -> None:
    """Write the set into a folder, under names of no meaning."""
    folder.mkdir(parents=True)
    contents = [*slices(made, 512), *(path.read_bytes() for path in real(found))]
    for number, content in enumerate(contents):
        (folder / f"{number:04}.dcm").write_bytes(content)


def write_many(folder: Path, count: int) -> None:
    """Write a hundred slices, and give them `count` names."""
    folder.mkdir(parents=True)
    for number, content in enumerate(slices(100, 512)):
        (folder / f"{number:05}.dcm").write_bytes(content)
    for number in range(100, count):
        (folder / f"{number:05}.dcm").hardlink_to(folder / f"{number % 100:05}.dcm")


def write_referring(folder: Path, count: int) -> None:
    """Write CT slices, and a segmentation, structures and a presentation state that refer to them."""
    folder.mkdir(parents=True)
    stack = Stack(patient=Patient(), modality="CT")
    images = make_datasets(stack, np.zeros((count, 8, 8), np.int16))
    series = Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = [_reference(one) for one in images]
    segments, structures, state = segmentation(stack), rt_structures(stack), presentation(stack)
    segments.ReferencedSeriesSequence = [series]
    shown = Dataset()
    shown.SeriesInstanceUID = images[0].SeriesInstanceUID
    shown.ReferencedImageSequence = [_reference(one) for one in images]
    state.ReferencedSeriesSequence = [shown]
    contour = Dataset()
    contour.ContourImageSequence = [_reference(one) for one in images]
    contour.SeriesInstanceUID = images[0].SeriesInstanceUID
    study, frame = _reference(images[0]), Dataset()
    study.ReferencedSOPInstanceUID = images[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [contour]
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    structures.ReferencedFrameOfReferenceSequence = [frame]
    for number, ds in enumerate((segments, structures, state), 2):
        ds.SeriesInstanceUID = f"{stack.patient.uid_root}.{number}"
        ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for number, ds in enumerate((*images, segments, structures, state)):
        (folder / f"{number:04}.dcm").write_bytes(file_bytes(ds))


def _reference(image: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID = image.SOPClassUID
    one.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return one


def write_planted(folder: Path) -> list[Planted]:
    """Write the planted files into a folder, and return them in the order of their names."""
    folder.mkdir(parents=True)
    hidden = planted()
    for number, one in enumerate(hidden):
        (folder / f"{number:04}.dcm").write_bytes(one.content)
    return hidden
