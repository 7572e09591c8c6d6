"""The originals as the writers and the check need them: headers and planes, never pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.images import pixel_spacing_of
from clic_edge.dicom.reading import place, read_header, translated
from clic_edge.errors import Defect
from clic_edge.results.identity import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import SupportsFloat

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import Geometry, SliceSource
    from clic_edge.results.writer import Analysis

IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Without these nothing can refer to an instance."""

OWNERS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""In these the instances of one volume agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """One original instance, as other objects refer to it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where one slice lies, as the original's own header says (PS3.3 C.7.6.2)."""

    image: ImageReference
    frame_number: int | None
    """1-based; None for a single-frame instance."""
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    """Between rows, between columns."""
    thickness_mm: float | None

    def corners(self, rows: int, columns: int) -> NDArray[np.float64]:
        """Return shape (3, 3): first pixel, end of the first row, end of the first column, in mm."""
        return corners(self.position, self.orientation, self.pixel_spacing, size=(rows, columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The originals of one analysis."""

    header: Dataset = field(repr=False)
    """Everything but the pixels of the instance that holds the first slice."""
    identity: Dataset = field(repr=False)
    """Patient and study, every text decoded, as all that we write has them."""
    planes: tuple[Plane, ...]
    """One for each slice of the prediction, in its order; of a single image its own pixels, from
    0, 0, in millimetres or, where their size is not known, in pixels."""

    @property
    def images(self) -> tuple[ImageReference, ...]:
        """Each instance once, in the order of the slices."""
        return tuple(dict.fromkeys(plane.image for plane in self.planes))


def read_source(analysis: Analysis) -> Source:
    """Return the headers and planes of the slices that the prediction is made of.

    Raises
    ------
    Defect
        ``unreadable-instance``, ``source-unidentified``, ``mixed-series``,
        ``no-frame-of-reference``, ``source-without-plane`` or ``undecodable-text``.

    """
    with translated("unreadable-instance", "An original's header can't be read."):
        headers = _headers(analysis)
        header = headers[analysis.slices[0].instance_index]
        identity = identity_of(header)
    if not analysis.prediction.geometry.in_patient:
        own = _own_plane(header, analysis.prediction.geometry)
        return Source(header=header, identity=identity, planes=(own,))
    planes = []
    for k, one in enumerate(analysis.slices):
        with translated(
            "source-without-plane",
            f"The original of slice {k + 1} of {len(analysis.slices)} doesn't say where it lies.",
        ):
            planes.append(_plane(headers[one.instance_index], one))
    return Source(header=header, identity=identity, planes=tuple(planes))


def image_name(series: Series, position: int) -> tuple[int, str]:
    """Return what an image of a series is called: its Instance Number (0020,0013), and its side.

    `position` counts from 1, and takes the place of a number that isn't there.
    """
    try:
        header = read_header(series.instances[position - 1].content)
        found = Attributes(dataset=header, where="the original")
        side = found.text("ImageLaterality") or found.text("Laterality")
        number = found.integer("InstanceNumber")
    except Defect:
        return position, ""
    return position if number is None else number, side


def _headers(analysis: Analysis) -> Mapping[int, Dataset]:
    """Return the header of each instance in use by its index: all of one series."""
    instances = analysis.series.instances
    headers = {
        index: read_header(instances[index].content, place(index, len(instances)))
        for index in dict.fromkeys(one.instance_index for one in analysis.slices)
    }
    if not all(one.get(keyword) for one in headers.values() for keyword in IDENTIFIERS):
        raise Defect("source-unidentified", "An image lacks a UID: nothing can refer to it.")
    in_patient = analysis.prediction.geometry.in_patient
    if in_patient and not all(one.get("FrameOfReferenceUID") for one in headers.values()):
        raise Defect(
            "no-frame-of-reference",
            "The images have no Frame of Reference UID (0020,0052): nothing can be laid over them.",
        )
    if len({tuple(str(one.get(key, "")) for key in OWNERS) for one in headers.values()}) != 1:
        raise Defect("mixed-series", "The images aren't of one patient, study and series.")
    return headers


def _own_plane(header: Dataset, geometry: Geometry) -> Plane:
    """Return the plane of a single image, which lies nowhere but in itself."""
    spacing = pixel_spacing_of(Attributes(dataset=header, where="the original"))
    return Plane(
        image=_reference(header),
        frame_number=None,
        position=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing=(spacing or (1.0, 1.0)) if geometry.in_mm else (1.0, 1.0),
        thickness_mm=None,
    )


def _reference(header: Dataset) -> ImageReference:
    return ImageReference(
        sop_class_uid=str(header.SOPClassUID), sop_instance_uid=str(header.SOPInstanceUID)
    )


def corners(
    position: Iterable[float],
    orientation: Iterable[float],
    pixel_spacing: Iterable[float],
    *,
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """Return where a plane's first pixel and its ends lie, in patient mm (C.7.6.2.1.1)."""
    origin = np.array([float(value) for value in position])
    along_row, along_column = np.array([float(value) for value in orientation]).reshape(2, 3)
    row_step, column_step = (float(value) for value in pixel_spacing)
    rows, columns = size
    return np.array(
        [
            origin,
            origin + along_row * column_step * (columns - 1),
            origin + along_column * row_step * (rows - 1),
        ]
    )


def _plane(ds: Dataset, source: SliceSource) -> Plane:
    multi_frame = "PerFrameFunctionalGroupsSequence" in ds
    measures = _group(ds, source, "PixelMeasuresSequence")
    thickness = measures.get("SliceThickness")
    return Plane(
        image=_reference(ds),
        frame_number=source.frame_number if multi_frame else None,
        position=_numbers(_group(ds, source, "PlanePositionSequence").ImagePositionPatient),
        orientation=_numbers(
            _group(ds, source, "PlaneOrientationSequence").ImageOrientationPatient
        ),
        pixel_spacing=_numbers(measures.PixelSpacing),
        thickness_mm=float(thickness) if thickness else None,
    )


def _group(ds: Dataset, source: SliceSource, keyword: str) -> Dataset:
    """Return what holds a frame's attributes: its functional group, or the instance itself."""
    if "PerFrameFunctionalGroupsSequence" not in ds:
        return ds
    own = ds.PerFrameFunctionalGroupsSequence[source.frame_number - 1]
    shared = ds.SharedFunctionalGroupsSequence[0]
    group: Dataset = (own if keyword in own else shared)[keyword].value[0]
    return group


def _numbers(values: Iterable[SupportsFloat]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
