"""Result objects read back to numbers and outlines, for whoever compares what two cases say."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import read_instance, translated
from clic_edge.domain.constancy import Measured, Outline
from clic_edge.domain.result import ResultKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject

_TRACKING = "112039"
_IMAGE_LIBRARY = "111028"
"""What stands in it is about the images, not about what was found in them."""
_OUTLINED = {ResultKind.SEG, ResultKind.SEG_LABELMAP}


def read_back(
    results: Iterable[ResultObject],
) -> tuple[tuple[Measured, ...], tuple[Outline, ...]]:
    """Return the numbers of every SR and the outlines of every segmentation, sorted by name.

    Names are unique: what comes again has a number behind it. Raises Defect
    ``result-unreadable``.
    """
    numbers: list[tuple[str, float, str]] = []
    outlines: list[tuple[str, Outline]] = []
    for result in results:
        with translated("result-unreadable", "A result object that was delivered is not whole."):
            ds = read_instance(result.content)
            if result.kind is ResultKind.SR:
                numbers += _numbers(ds, "")
            elif result.kind in _OUTLINED:
                outlines += ((one.name, one) for one in _outlines(ds))
    counts: dict[str, int] = {}
    measured = []
    for name, value, unit in sorted(numbers):
        counts[name] = counts.get(name, 0) + 1
        unique = name if counts[name] == 1 else f"{name} {counts[name]}"
        measured.append(Measured(name=unique, value=value, unit=unit))
    return tuple(measured), tuple(one for _, one in sorted(outlines, key=lambda pair: pair[0]))


def _numbers(item: Dataset, about: str) -> Iterator[tuple[str, float, str]]:
    """Yield name, value and unit of each NUM below an item (PS3.3 C.18.1)."""
    inner = item.get("ContentSequence", [])
    about = next((str(one.TextValue) for one in inner if _is_tracking(one)), about)
    for one in inner:
        if one.get("ValueType") == "NUM" and one.get("MeasuredValueSequence"):
            value = one.MeasuredValueSequence[0]
            words = (about, str(one.ConceptNameCodeSequence[0].CodeMeaning), *_modifiers(one))
            unit = str(value.MeasurementUnitsCodeSequence[0].CodeValue)
            yield " ".join(filter(None, words)), float(value.NumericValue), unit
        if _concept(one) != _IMAGE_LIBRARY:
            yield from _numbers(one, about)


def _is_tracking(item: Dataset) -> bool:
    return item.get("ValueType") == "TEXT" and _concept(item) == _TRACKING


def _concept(item: Dataset) -> str:
    """Return the code of what an item is about; empty where it says nothing of that."""
    named = item.get("ConceptNameCodeSequence")
    return str(named[0].get("CodeValue", "")) if named else ""


def _modifiers(number: Dataset) -> list[str]:
    """Return the coded modifiers of a number, a derivation or a category among them."""
    return [
        str(one.ConceptCodeSequence[0].CodeMeaning)
        for one in number.get("ContentSequence", [])
        if one.get("ValueType") == "CODE"
    ]


def _outlines(ds: Dataset) -> Iterator[Outline]:
    frames = np.asarray(ds.pixel_array).reshape(-1, int(ds.Rows), int(ds.Columns))
    segments = {int(one.SegmentNumber): str(one.SegmentLabel) for one in ds.SegmentSequence}
    is_label_map = str(ds.get("SegmentationType", "")) == "LABELMAP"
    groups = ds.PerFrameFunctionalGroupsSequence
    for number, label in segments.items():
        placed: dict[str, NDArray[np.bool_]] = {}
        for index, (frame, group) in enumerate(zip(frames, groups, strict=True)):
            if is_label_map:
                mask = frame == number
            elif _segment_of(group, ds) == number:
                mask = frame != 0
            else:
                continue
            if mask.any():
                placed[_place(group, index)] = mask
        yield outline_of(label, (int(ds.Rows), int(ds.Columns)), placed)


def _segment_of(group: Dataset, ds: Dataset) -> int:
    here = "SegmentIdentificationSequence" in group
    holder = group if here else ds.SharedFunctionalGroupsSequence[0]
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _place(group: Dataset, index: int) -> str:
    """Return where a frame lies, in micrometres of the patient, else its number."""
    if "PlanePositionSequence" not in group:
        return f"frame {index + 1}"
    position = group.PlanePositionSequence[0].ImagePositionPatient
    return ",".join(f"{round(float(one) * 1000)}" for one in position)


def outline_of(name: str, size: tuple[int, int], placed: dict[str, NDArray[np.bool_]]) -> Outline:
    """Return an outline of frames of shape (rows, columns) by their places."""
    places = tuple(sorted(placed))
    voxels = np.stack([placed[one] for one in places]) if places else np.zeros((0, *size), bool)
    bits = np.packbits(voxels).tobytes()
    return Outline(
        name=name,
        size=size,
        places=places,
        digest=hashlib.sha256("\n".join(places).encode() + b"\n" + bits).hexdigest(),
        packed=base64.b64encode(zlib.compress(bits, 9)).decode(),
    )


def unpacked(outline: Outline) -> dict[str, NDArray[np.bool_]]:
    """Return the voxels of an outline, a frame of shape (rows, columns) by its place."""
    shape = (len(outline.places), *outline.size)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(outline.packed)), np.uint8)
    voxels = np.unpackbits(bits, count=int(np.prod(shape))).astype(bool).reshape(shape)
    return dict(zip(outline.places, voxels, strict=True))
