"""Write a rejection note: earlier results that are not to be used any more (IHE IOCM, KOS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.sr.codedict import codes

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.summary import evidence_of, said, source_of
from clic_edge.results.wording import say

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Story


def write_rejection(story: Story) -> ResultObject:
    """Return a note (113001, DCM, "Rejected for Quality Reasons") that names all predecessors.

    Raises
    ------
    Defect
        As `write_summary` raises; ``rejection-impossible``.

    """
    source = source_of(story)
    kind = ResultKind.REJECTION
    with translated("rejection-impossible", "A rejection note can't be made of the case."):
        rejected = [evidence_of(source, one) for one in story.predecessors]
        observer = DeviceObserverIdentifyingAttributes(
            uid=provenance.device_uid(story.model), name=story.model.title
        )
        ds = KeyObjectSelectionDocument(
            evidence=rejected,
            content=KeyObjectSelection(
                document_title=codes.DCM.RejectedForQualityReasons,
                referenced_objects=rejected,
                observer_device_context=ObserverContext(
                    observer_type=codes.DCM.Device, observer_identifying_attributes=observer
                ),
                description=say("earlier withdrawn", story.language),
            ),
            series_instance_uid=provenance.series_uid(story, kind),
            series_number=1,
            sop_instance_uid=provenance.result_uid(story, kind),
            instance_number=1,
        )
        provenance.stamp(ds, story, source, kind=kind)
        ds.SOPInstanceUID = provenance.result_uid(story, kind, *said(story))
        return provenance.result_object(ds, kind)
