"""Write the findings burned into pictures, as a series of Secondary Captures (PS3.3 A.8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.drawing import picture
from clic_edge.results.outlines import areas_of, key_slices, slice_of
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

MOST = 60
"""A reader scrolls through no more; what is left out is evenly spread, and no key slice is."""


class CaptureWriter:
    """Writes a colour picture of each slice with a finding, at most `MOST` of them."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the pictures in the order of the slices; none where nothing was found.

        The words on them are findings and the model's name: who the patient is stands in the
        header alone.

        Raises
        ------
        Defect
            As `read_source` raises; ``capture-impossible``: the original can't be shown.

        """
        del earlier
        slices = shown_slices(analysis.prediction)
        if not slices:
            return ()
        source = read_source(analysis)
        with translated("capture-impossible", "No picture can be made of images and findings."):
            return tuple(
                _capture(analysis, source, k, number=number)
                for number, k in enumerate(slices, start=1)
            )


def shown_slices(prediction: Prediction) -> tuple[int, ...]:
    """Return the slices with a finding; of more than `MOST`, the key slices and an even choice.

    A single image is shown whatever was found: its classes are of all of it.
    """
    if not prediction.geometry.in_patient:
        return (0,)
    with_segment = np.flatnonzero(areas_of(prediction).any(axis=1)).tolist()
    with_detection = [slice_of(one, prediction.geometry) for one in prediction.detections]
    slices = sorted({*with_segment, *with_detection})
    if len(slices) <= MOST:
        return tuple(slices)
    keys = key_slices(prediction)[:MOST]
    chosen = np.linspace(0, len(slices) - 1, MOST - len(keys)).round().astype(int)
    return tuple(sorted({*keys, *(slices[index] for index in chosen)}))


def _capture(analysis: Analysis, source: Source, k: int, *, number: int) -> ResultObject:
    image = picture(analysis, k)
    ds = Dataset()
    provenance.stamp(ds, analysis, source, kind=ResultKind.SC)
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = provenance.result_uid(analysis, ResultKind.SC, str(number))
    if not analysis.image:
        ds.InstanceNumber = number
    ds.Modality, ds.ConversionType = "OT", "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.PatientOrientation, ds.Laterality = "", ""
    ds.BurnedInAnnotation, ds.RecognizableVisualFeatures = "YES", "NO"
    ds.DerivationDescription = "Outlines and measurements of an algorithm over the original"
    ds.LossyImageCompression = source.header.get("LossyImageCompression", "00") or "00"
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.planes[k].image.sop_class_uid
    reference.ReferencedSOPInstanceUID = source.planes[k].image.sop_instance_uid
    if source.planes[k].frame_number is not None:
        reference.ReferencedFrameNumber = source.planes[k].frame_number
    ds.SourceImageSequence = [reference]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = image.height, image.width
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    content = image.tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)
    return provenance.result_object(ds, ResultKind.SC)
