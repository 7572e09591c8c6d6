"""Which machine made a result, from what and when: the same in every object we write."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

import clic_edge
from clic_edge.dicom.reading import translated
from clic_edge.dicom.uids import derive_uid
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results.meanings import translate

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ModelIdentity, ParametricMap, SegmentDefinition
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis, Told

MANUFACTURER = "clic-edge"
"""Manufacturer (0008,0070) of every object that we write; intake ignores what carries it."""

SERIES_OFFSET = {
    ResultKind.ANN: 88,
    ResultKind.SUMMARY: 90,
    ResultKind.SEG: 91,
    ResultKind.SR: 92,
    ResultKind.SEG_LABELMAP: 93,
    ResultKind.SEG_FRACTIONAL: 94,
    ResultKind.PM: 95,
    ResultKind.PR: 96,
    ResultKind.KO: 97,
    ResultKind.SC: 98,
    ResultKind.PDF: 99,
    ResultKind.REJECTION: 99,
}
"""Last two digits of the Series Number: results stand together behind what they are made of."""
LARGEST_SERIES_NUMBER = 9_999_999

ASSESSMENTS_NUMBER = 89
"""Series Number of what readers say of the results of a study."""


def result_uid(told: Told, *what: str) -> str:
    """Return the UID of a part of the result; the same analysis has the same UIDs.

    What else decides on its bytes is in it: another version, language or link writes another
    object, which takes the place of the first. What a rejection note may have taken back is not
    said again under the UID that the note names.
    """
    written_by = (clic_edge.__version__, told.language, told.link)
    edition = (str(told.edition),) if told.edition else ()
    return derive_uid(_of_analysis(told), *written_by, *edition, *what)


def series_uid(told: Told, kind: ResultKind) -> str:
    """Return the Series Instance UID of our objects of a kind: images of one series share it."""
    written_by = (clic_edge.__version__, told.language, told.link)
    edition = (str(told.edition),) if told.edition else ()
    return derive_uid(_of_series(told), *written_by, *edition, kind.value, "series")


def _of_series(told: Told) -> str:
    return derive_uid(told.case_id, told.series.series_instance_uid, told.model.digest)


def _of_analysis(told: Told) -> str:
    whole = _of_series(told)
    return derive_uid(whole, "image", str(told.image)) if told.image else whole


def tracking_uid(analysis: Analysis, segment: SegmentDefinition) -> str:
    """Return the Tracking Unique Identifier (112040, DCM) of a segment, in SEG and SR."""
    return finding_uid(analysis, segment.name)


def finding_uid(analysis: Analysis, *what: str) -> str:
    """Return the Tracking Unique Identifier of a finding, the same whoever writes it down."""
    return derive_uid(_of_analysis(analysis), "tracking", *what)


def tracking_id(analysis: Analysis, segment: SegmentDefinition) -> str:
    """Return the Tracking Identifier (112039, DCM) of a segment, in SEG and SR."""
    return f"{analysis.prediction.model.model_id} {segment.name}"


def map_uid(analysis: Analysis, one: ParametricMap) -> str:
    """Return the SOP Instance UID of a parametric map."""
    return result_uid(analysis, ResultKind.PM.value, one.name)


def device_uid(model: ModelIdentity) -> str:
    """Return the Device UID of the algorithm; another when it was trained anew (IHE AIR)."""
    return derive_uid("device", model.digest)


def stamp(ds: Dataset, told: Told, source: Source, *, kind: ResultKind) -> None:
    """Set patient, study, series, equipment, dates and identifiers of one of our objects.

    Meanings of codes are put into the reader's language; those of the original stay.
    """
    model = told.model
    when = local_time(told.started_at, source.header)
    date, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S.%f")
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = result_uid(told, kind.value)
    ds.SeriesInstanceUID = series_uid(told, kind)
    ds.SeriesNumber = _series_number(source.header, kind)
    ds.SeriesDescription = f"AI {kind}: {model.title}"[:64]
    ds.InstanceNumber = _instance_number(told, source)
    ds.InstanceCreationDate = ds.SeriesDate = ds.ContentDate = date
    ds.InstanceCreationTime = ds.SeriesTime = ds.ContentTime = time
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MANUFACTURER
    ds.SoftwareVersions = clic_edge.__version__
    ds.DeviceSerialNumber = model.digest[:16]
    ds.ContributingEquipmentSequence = [_algorithm_equipment(model, f"{date}{time}")]
    translate(ds, told.language)
    ds.update(source.identity)


def result_object(ds: Dataset, kind: ResultKind) -> ResultObject:
    """Return the dataset as a Part 10 file, explicit little endian, uncompressed."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return ResultObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        content=buffer.getvalue(),
    )


def _algorithm_equipment(model: ModelIdentity, when: str) -> Dataset:
    """Return the algorithm's item of Contributing Equipment (0018,A001), as IHE AIR asks."""
    purpose = Dataset()
    purpose.CodeValue = "109102"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = model.manufacturer
    item.ManufacturerModelName = model.title[:64]
    item.SoftwareVersions = model.version
    item.DeviceUID = device_uid(model)
    item.ContributionDateTime = when
    item.ContributionDescription = "Algorithm that analysed the images"
    return item


def local_time(moment: datetime, header: Dataset) -> datetime:
    """Return the moment on the clock of the original: its declared offset, or this machine's."""
    offset = str(header.get("TimezoneOffsetFromUTC", "")).strip()
    try:
        minutes = int(offset[:3]) * 60 + int(offset[0] + offset[3:5])
        return moment.astimezone(timezone(timedelta(minutes=minutes)))
    except (ValueError, IndexError):
        return moment.astimezone()


def moment_of(ds: Dataset) -> datetime:
    """Return when the content of somebody else's object was made.

    Raises Defect ``returned-undated``: Content Date and Time are type 1, and it has none.
    """
    with translated("returned-undated", "The object doesn't say when its content was made."):
        text = f"{ds.ContentDate}{str(ds.ContentTime).partition('.')[0]:0<6}"
        moment = datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - the offset stands apart
        offset = local_time(datetime.now(UTC), ds).tzinfo
        return moment.replace(tzinfo=offset).astimezone(UTC)


def _instance_number(told: Told, source: Source) -> int:
    """Return what the image that it is of is called in its series, else its position; or 1."""
    number = source.header.get("InstanceNumber") if told.image else None
    return told.image or 1 if number is None else int(number)


def _series_number(header: Dataset, kind: ResultKind) -> int:
    """Return a number that sorts behind the original's and is the same at each run."""
    try:
        number = int(header.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return max(0, min(number, LARGEST_SERIES_NUMBER)) * 100 + SERIES_OFFSET[kind]
