"""The content tree of a report as values: read from a dataset strictly, and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.prediction import Code
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydicom.dataset import Dataset

    from clic_edge.results.source import Plane

    Planes = Mapping[tuple[str, int | None], Plane]
    """Where each original lies, by SOP Instance UID and frame."""

NUMBER_TOLERANCE = 1e-9
"""Relative; a decimal string has 16 characters."""
NOTHING = 1e-90
"""Numbers nearer to 0 lose digits in a decimal string, to an exponent of three."""

OF_EVERY_ITEM = {"RelationshipType", "ValueType", "ConceptNameCodeSequence", "ContentSequence"}
OF_A_CODE = {"CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion"}

Points = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number with its unit."""

    value: float
    unit: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Referred:
    """An image, one of its frames or segments."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None
    segment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Points in patient mm, wherever they were given: on an image or in space."""

    graphic_type: str
    points_mm: Points
    frame_of_reference: str
    """Empty where they were given on an image."""
    tolerance_mm: float = 0.0
    """How far those of the file may lie from these; of what is expected."""


Value = str | Code | Quantity | Referred | Drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One content item (PS3.3 C.17.3) with all that is below it."""

    relationship: str
    value_type: str
    name: Code
    value: Value
    """Of a container the template that it follows, or nothing."""
    children: tuple[Item, ...] = ()


def read_items(parent: Dataset, planes: Planes) -> tuple[Item, ...]:
    """Return the content below a container or an item.

    Raises
    ------
    Defect
        ``sr-differs``: there is an attribute or a kind of item that we never write.

    """
    return tuple(_read(one, planes) for one in parent.get("ContentSequence", []))


def require_same(found: tuple[Item, ...], expected: tuple[Item, ...]) -> None:
    """Return when both trees say the same, item for item.

    Raises
    ------
    Defect
        ``sr-differs``: names the concept, which is ours, of the first item that is another.

    """
    for one, other in zip(found, expected, strict=False):
        said = (one.relationship, one.value_type, one.name)
        if said != (other.relationship, other.value_type, other.name) or not _same(
            one.value, other.value
        ):
            raise Defect("sr-differs", f"The report has another {other.name.meaning}.")
        require_same(one.children, other.children)
    if len(found) < len(expected):
        missing = expected[len(found)].name.meaning
        raise Defect("sr-differs", f"The report has too few items: {missing} is missing.")
    if len(found) > len(expected):
        raise Defect("sr-differs", "The report says more than the model found.")


def _same(found: Value, expected: Value) -> bool:
    if isinstance(found, Quantity) and isinstance(expected, Quantity):
        return found.unit == expected.unit and _close(found.value, expected.value)
    if isinstance(found, Drawn) and isinstance(expected, Drawn):
        kind = (found.graphic_type, found.frame_of_reference, len(found.points_mm))
        if kind != (expected.graphic_type, expected.frame_of_reference, len(expected.points_mm)):
            return False
        apart = np.subtract(found.points_mm, expected.points_mm)
        return bool(np.linalg.norm(apart, axis=1).max() <= expected.tolerance_mm)
    return found == expected


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=NUMBER_TOLERANCE, abs_tol=NOTHING)


def _read(ds: Dataset, planes: Planes) -> Item:
    known, value_of = KINDS.get(ds.ValueType, (set(), _nothing))
    _require_only(ds, OF_EVERY_ITEM | known)
    return Item(
        relationship=str(ds.RelationshipType),
        value_type=str(ds.ValueType),
        name=_code(ds.ConceptNameCodeSequence),
        value=_on_image(ds, planes) if ds.ValueType == "SCOORD" else value_of(ds),
        children=read_items(ds, planes),
    )


def _require_only(ds: Dataset, known: set[str]) -> None:
    if not {element.keyword for element in ds} <= known:
        raise Defect("sr-differs", "The report holds an attribute that nobody asked for.")


def _nothing(_: Dataset) -> Value:
    raise Defect("sr-differs", "The report holds a kind of item that nobody asked for.")


def _code(sequence: Sequence[Dataset]) -> Code:
    (ds,) = sequence
    _require_only(ds, OF_A_CODE | {"CodeMeaning"})
    return Code(
        value=str(ds.get("CodeValue") or ds.LongCodeValue),
        scheme=str(ds.CodingSchemeDesignator),
        meaning=str(ds.CodeMeaning),
    )


def _container(ds: Dataset) -> Value:
    templates = ds.get("ContentTemplateSequence", [])
    return ",".join(f"{one.MappingResource} {one.TemplateIdentifier}" for one in templates)


def _quantity(ds: Dataset) -> Value:
    """Return the number, where it is the same in both of its forms."""
    (item,) = ds.MeasuredValueSequence
    _require_only(item, {"NumericValue", "FloatingPointValue", "MeasurementUnitsCodeSequence"})
    decimal = float(item.NumericValue)
    value = float(item.get("FloatingPointValue", decimal))
    if not _close(decimal, value):
        raise Defect("sr-differs", "A number isn't the same in both of its forms.")
    return Quantity(value=value, unit=_code(item.MeasurementUnitsCodeSequence))


def _referred(ds: Dataset) -> Referred:
    (item,) = ds.ReferencedSOPSequence
    known = {"ReferencedFrameNumber", "ReferencedSegmentNumber"}
    _require_only(item, known | {"ReferencedSOPClassUID", "ReferencedSOPInstanceUID"})
    frame, segment = item.get("ReferencedFrameNumber"), item.get("ReferencedSegmentNumber")
    return Referred(
        sop_class_uid=str(item.ReferencedSOPClassUID),
        sop_instance_uid=str(item.ReferencedSOPInstanceUID),
        frame=None if frame is None else int(frame),
        segment=None if segment is None else int(segment),
    )


def _in_space(ds: Dataset) -> Value:
    return Drawn(
        graphic_type=str(ds.GraphicType),
        points_mm=_points(np.array(ds.GraphicData, np.float64).reshape(-1, 3)),
        frame_of_reference=str(ds.ReferencedFrameOfReferenceUID),
    )


def _on_image(ds: Dataset, planes: Planes) -> Value:
    """Return where points on an image lie: 0, 0 is its outer corner (PS3.3 C.18.6.1.1)."""
    image = _referred(ds.ContentSequence[0])
    plane = planes.get((image.sop_instance_uid, image.frame))
    if plane is None:
        raise Defect("sr-differs", "A region lies on an image that wasn't analysed.")
    columns, rows = np.array(ds.GraphicData, np.float64).reshape(-1, 2).T - 0.5
    along_row, along_column = np.array(plane.orientation).reshape(2, 3)
    between_rows, between_columns = plane.pixel_spacing
    points = (
        np.array(plane.position)
        + np.outer(columns * between_columns, along_row)
        + np.outer(rows * between_rows, along_column)
    )
    return Drawn(graphic_type=str(ds.GraphicType), points_mm=_points(points), frame_of_reference="")


def _points(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Points:
    return tuple(tuple(one) for one in points.tolist())


KINDS: Mapping[str, tuple[set[str], Callable[[Dataset], Value]]] = {
    "CONTAINER": ({"ContinuityOfContent", "ContentTemplateSequence"}, _container),
    "TEXT": ({"TextValue"}, lambda ds: str(ds.TextValue)),
    "UIDREF": ({"UID"}, lambda ds: str(ds.UID)),
    "CODE": ({"ConceptCodeSequence"}, lambda ds: _code(ds.ConceptCodeSequence)),
    "NUM": ({"MeasuredValueSequence"}, _quantity),
    "IMAGE": ({"ReferencedSOPSequence"}, _referred),
    "SCOORD": ({"GraphicType", "GraphicData"}, _nothing),
    "SCOORD3D": ({"GraphicType", "GraphicData", "ReferencedFrameOfReferenceUID"}, _in_space),
}
"""For each value type (PS3.3 C.17.3.2.1) the attributes that we write, and what they say."""
