"""Photographs as DICOM: one of four image objects, in the study that an order names.

PS3.3 A.32.4 (VL photographic), A.32.11 (dermoscopic), A.41 (ophthalmic, 8 bit), A.6 (ultrasound).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    DermoscopicPhotographyImageStorage,
    ExplicitVRLittleEndian,
    OphthalmicPhotography8BitImageStorage,
    UltrasoundImageStorage,
    VLPhotographicImageStorage,
)

from clic_edge.dicom.orders import is_valid
from clic_edge.dicom.photographs import BITS
from clic_edge.dicom.uids import derive_uid
from clic_edge.domain.prediction import Code
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clic_edge.dicom.orders import Order
    from clic_edge.dicom.photographs import Photograph


class PhotographKind(StrEnum):
    """What kind of object a photograph becomes."""

    OP = "op"
    """Ophthalmic photography."""
    XC = "xc"
    """Photograph in visible light, of skin, a wound, a face."""
    DERMOSCOPY = "dermoscopy"
    US = "us"
    """A still of an ultrasound machine."""


SOP_CLASSES = {
    PhotographKind.OP: (OphthalmicPhotography8BitImageStorage, "OP"),
    PhotographKind.XC: (VLPhotographicImageStorage, "XC"),
    PhotographKind.DERMOSCOPY: (DermoscopicPhotographyImageStorage, "DMS"),
    PhotographKind.US: (UltrasoundImageStorage, "US"),
}
"""SOP class and Modality (0008,0060)."""


def _sct(value: str, meaning: str) -> Code:
    return Code(value=value, scheme="SCT", meaning=meaning)


REGIONS = {
    "abdomen": _sct("113345001", "Abdominal structure"),
    "back": _sct("77568009", "Back"),
    "breast": _sct("76752008", "Breast"),
    "chest": _sct("816094009", "Chest"),
    "eye": _sct("81745001", "Eye"),
    "face": _sct("89545001", "Face"),
    "foot": _sct("56459004", "Foot"),
    "hand": _sct("85562004", "Hand"),
    "head": _sct("69536005", "Head"),
    "lower-limb": _sct("61685007", "Lower limb"),
    "neck": _sct("45048000", "Neck"),
    "retina": _sct("5665001", "Retina"),
    "scalp": _sct("41695006", "Scalp"),
    "skin": _sct("39937001", "Skin"),
    "trunk": _sct("22943007", "Trunk"),
    "upper-limb": _sct("53120007", "Upper limb"),
}
"""Anatomic Region Sequence (0008,2218)."""
DEVICES = {
    "external-camera": _sct("409903006", "External Camera"),
    "fundus-camera": _sct("409898007", "Fundus Camera"),
    "scanning-laser": _sct("392001008", "Scanning Laser Ophthalmoscope"),
    "slit-lamp": _sct("397247004", "Slit Lamp Biomicroscope"),
}
"""Acquisition Device Type Code Sequence (0022,0015): CID 4202."""
MODIFYING = Code(value="109103", scheme="DCM", meaning="Modifying Equipment")
UNKNOWN = "UNKNOWN"
"""Where the standard wants a name and nobody knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the photograph shows, and with what it was taken."""

    kind: PhotographKind
    region: Code
    laterality: str = ""
    """``R``, ``L`` or ``B``; an eye has one."""
    device: Code | None = None
    """Of an eye: what was looked through."""
    manufacturer: str = ""
    model: str = ""
    description: str = ""
    """Of the series: what a pipeline's rule may ask for."""
    is_clean: bool = False
    """Somebody has looked: the picture shows neither text nor a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """The photographs that become one series."""

    began_at: datetime
    """When the first of them was taken."""
    digest: str
    """Of all of them: others of the same order are another series, with numbers of its own."""

    @classmethod
    def of(cls, photographs: Sequence[Photograph], *, began_at: datetime) -> Sitting:
        """Return the sitting of photographs in this order."""
        whole = hashlib.sha256("\n".join(one.digest for one in photographs).encode())
        return cls(began_at=began_at, digest=whole.hexdigest())


def require_answers(view: View) -> None:
    """Return where all is said that the kind of object needs, as DICOM wants it.

    Raises ConfigError ``laterality-missing``: nobody said which eye it is; ``view-value``.
    """
    for what in ("description", "manufacturer", "model"):
        if not is_valid("SeriesDescription", getattr(view, what)):
            raise ConfigError("view-value", f"The {what} is not as DICOM wants it.")
    if view.kind is PhotographKind.OP and not view.laterality:
        raise ConfigError("laterality-missing", "Say which eye it is: --laterality R or L.")


def photograph_object(
    photograph: Photograph,
    order: Order,
    view: View,
    *,
    number: int,
    taken_at: datetime,
    sitting: Sitting,
) -> bytes:
    """Return a Part 10 file; the same photograph, order, view and sitting have the same identifiers.

    Raises ConfigError as `require_answers`.
    """
    require_answers(view)
    sop_class, modality = SOP_CLASSES[view.kind]
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.SpecificCharacterSet = "ISO_IR 192"
    _patient_and_study(ds, order, sitting.began_at)
    told = (view.kind, view.region.value, view.laterality, view.description)
    ds.SeriesInstanceUID = derive_uid("photographs", ds.StudyInstanceUID, *told, sitting.digest)
    ds.SOPInstanceUID = derive_uid("photograph", ds.SeriesInstanceUID, photograph.digest)
    ds.SeriesNumber, ds.InstanceNumber = 1 + list(PhotographKind).index(view.kind), number
    if view.description:
        ds.SeriesDescription = view.description
    _equipment(ds, photograph, view)
    _image(ds, photograph, view, taken_at=taken_at)
    {
        PhotographKind.OP: _ophthalmic,
        PhotographKind.XC: _photographic,
        PhotographKind.DERMOSCOPY: _dermoscopic,
        PhotographKind.US: _ultrasound,
    }[view.kind](ds, view)
    return _file(ds, photograph)


def _patient_and_study(ds: Dataset, order: Order, study_at: datetime) -> None:
    day = f"{study_at:%Y%m%d}"
    ds.PatientID, ds.PatientName = order.patient_id, order.patient_name
    ds.PatientBirthDate, ds.PatientSex = order.birth_date, order.sex
    if order.issuer:
        ds.IssuerOfPatientID = order.issuer
    ds.StudyInstanceUID = order.study_instance_uid or derive_uid(
        "study", order.issuer, order.patient_id, order.accession_number or day
    )
    ds.StudyID = order.study_id or order.accession_number
    ds.AccessionNumber = order.accession_number
    ds.ReferringPhysicianName = order.referring_physician
    ds.StudyDate, ds.StudyTime = day, f"{study_at:%H%M%S}"
    if order.study_description:
        ds.StudyDescription = order.study_description


def _equipment(ds: Dataset, photograph: Photograph, view: View) -> None:
    ds.Manufacturer = view.manufacturer or photograph.make or UNKNOWN
    ds.ManufacturerModelName = view.model or photograph.model or UNKNOWN
    made_dicom = Dataset()
    made_dicom.Manufacturer = "clic-edge"
    made_dicom.PurposeOfReferenceCodeSequence = [_item(MODIFYING)]
    made_dicom.ContributionDescription = "Made DICOM of a photograph"
    ds.ContributingEquipmentSequence = [made_dicom]


def _image(ds: Dataset, photograph: Photograph, view: View, *, taken_at: datetime) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ContentDate = ds.AcquisitionDate = f"{taken_at:%Y%m%d}"
    ds.ContentTime = ds.AcquisitionTime = f"{taken_at:%H%M%S}"
    ds.AcquisitionDateTime = f"{taken_at:%Y%m%d%H%M%S}"
    ds.PatientOrientation = []
    ds.BurnedInAnnotation = ds.RecognizableVisualFeatures = "NO" if view.is_clean else "YES"
    ds.AnatomicRegionSequence = [_item(view.region)]
    ds.SamplesPerPixel = photograph.samples
    ds.PhotometricInterpretation = photograph.photometric
    if photograph.samples > 1:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = photograph.rows, photograph.columns
    ds.BitsAllocated = ds.BitsStored = BITS
    ds.HighBit, ds.PixelRepresentation = BITS - 1, 0
    ds.LossyImageCompression = "00" if photograph.lossy_ratio is None else "01"
    if photograph.lossy_ratio is not None:
        ds.LossyImageCompressionRatio = photograph.lossy_ratio
        ds.LossyImageCompressionMethod = "ISO_10918_1"


def _ophthalmic(ds: Dataset, view: View) -> None:
    ds.ImageLaterality = view.laterality
    ds.NumberOfFrames, ds.FrameTime = 1, 0
    ds.FrameIncrementPointer = Tag("FrameTime")
    ds.SynchronizationFrameOfReferenceUID = derive_uid("synchronization", ds.SeriesInstanceUID)
    ds.SynchronizationTrigger, ds.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    ds.AcquisitionDeviceTypeCodeSequence = [_item(view.device or DEVICES["fundus-camera"])]
    for keyword in (
        "IlluminationTypeCodeSequence",
        "LightPathFilterTypeStackCodeSequence",
        "ImagePathFilterTypeStackCodeSequence",
        "LensesCodeSequence",
        "RefractiveStateSequence",
    ):
        setattr(ds, keyword, [])
    _unknown(
        ds,
        "DetectorType",
        "PatientEyeMovementCommanded",
        "EmmetropicMagnification",
        "IntraOcularPressure",
        "HorizontalFieldOfView",
        "PupilDilated",
    )
    if ds.SamplesPerPixel == 1:
        ds.PresentationLUTShape = "IDENTITY"


def _photographic(ds: Dataset, view: View) -> None:
    ds.AcquisitionContextSequence = []
    if view.laterality:
        ds.ImageLaterality = view.laterality
    else:
        _unknown(ds, "Laterality")  # type 2C: a part of which nobody said that there is only one


def _dermoscopic(ds: Dataset, view: View) -> None:
    _photographic(ds, view)
    ds.DeviceSerialNumber = ds.SoftwareVersions = UNKNOWN
    ds.FrameOfReferenceUID = derive_uid("frame of reference", ds.SOPInstanceUID)
    _unknown(
        ds,
        "PositionReferenceIndicator",
        "LightSourcePolarization",
        "EmitterColorTemperature",
        "ContactMethod",
        "OpticalMagnificationFactor",
    )


def _ultrasound(ds: Dataset, view: View) -> None:
    ds.Laterality = view.laterality


def _unknown(ds: Dataset, *keywords: str) -> None:
    """Write attributes of type 2 without a value."""
    for keyword in keywords:
        setattr(ds, keyword, None)


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme
    item.CodeMeaning = code.meaning
    return item


def _file(ds: Dataset, photograph: Photograph) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = UID(photograph.transfer_syntax)
    ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    if photograph.transfer_syntax == ExplicitVRLittleEndian:
        ds.PixelData = photograph.pixels + bytes(len(photograph.pixels) % 2)
    else:
        ds.PixelData = encapsulate([photograph.pixels])
        ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
