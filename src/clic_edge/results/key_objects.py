"""Mark the images that show the findings best (key object selection, PS3.16 TID 2010)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.outlines import key_slices
from clic_edge.results.source import read_source
from clic_edge.results.wording import say

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import ImageReference, Source
    from clic_edge.results.writer import Analysis


class KeyObjectWriter:
    """Writes which originals show each segment at its largest, and each detection."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the selection (113000, DCM, "Of Interest"); nothing where nothing was found.

        Of a multi-frame original the instance is marked, not its frames.

        Raises
        ------
        Defect
            As `read_source` raises; ``selection-impossible``.

        """
        del earlier
        slices = key_slices(analysis.prediction)
        if not slices:
            return ()
        source, kind = read_source(analysis), ResultKind.KO
        with translated("selection-impossible", "A selection can't be made of the images."):
            images = dict.fromkeys(source.planes[k].image for k in slices)
            marked = [_evidence(source, image) for image in images]
            observer = DeviceObserverIdentifyingAttributes(
                uid=provenance.device_uid(analysis.model), name=analysis.model.title
            )
            ds = KeyObjectSelectionDocument(
                evidence=marked,
                content=KeyObjectSelection(
                    document_title=codes.DCM.OfInterest,
                    referenced_objects=marked,
                    observer_device_context=ObserverContext(
                        observer_type=codes.DCM.Device, observer_identifying_attributes=observer
                    ),
                    description=say("not verified", analysis.language),
                ),
                series_instance_uid=provenance.series_uid(analysis, kind),
                series_number=1,
                sop_instance_uid=provenance.result_uid(analysis, kind),
                instance_number=1,
            )
            provenance.stamp(ds, analysis, source, kind=kind)
            return (provenance.result_object(ds, kind),)


def _evidence(source: Source, image: ImageReference) -> Dataset:
    item = Dataset()
    item.update(source.identity)
    item.SOPClassUID, item.SOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    item.SeriesInstanceUID = source.header.SeriesInstanceUID
    return item
