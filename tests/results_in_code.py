"""Result objects made in code: what delivery needs of them, no more."""

from __future__ import annotations

import numpy as np
from factories import Patient, Stack, file_bytes, make_slice
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)

from clic_edge.domain.result import ResultKind, ResultObject


def make_result(
    kind: ResultKind = ResultKind.SEG,
    *,
    patient: Patient | None = None,
    number: int = 1,
    frames: int = 3,
    syntax: str = ExplicitVRLittleEndian,
) -> ResultObject:
    """Return a SEG with `frames` frames of noise, or an SR, of the patient's study."""
    patient = patient or Patient()
    size = 64
    ds = make_slice(Stack(patient=patient), np.zeros((size, size), np.int16), 0)
    ds.Modality = str(kind)
    ds.SeriesNumber = 9000
    ds.SeriesInstanceUID = f"{patient.uid_root}.9000.{'12'[kind == ResultKind.SR]}"
    ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.{number}"
    if kind == ResultKind.SEG:
        ds.SOPClassUID = SegmentationStorage
        bits = np.random.default_rng(number).integers(0, 2, frames * size * size, np.uint8)
        ds.BitsAllocated = ds.BitsStored = 1
        ds.HighBit = ds.PixelRepresentation = 0
        ds.NumberOfFrames = frames
        ds.PixelData = np.packbits(bits, bitorder="little").tobytes()
    else:
        ds.SOPClassUID = Comprehensive3DSRStorage
        for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
            delattr(ds, keyword)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ResultObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        content=file_bytes(ds),
    )


def make_results() -> tuple[ResultObject, ResultObject]:
    """Return a SEG and an SR."""
    return make_result(ResultKind.SEG), make_result(ResultKind.SR)
