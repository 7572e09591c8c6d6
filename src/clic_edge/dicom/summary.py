"""What routing sees of a series, from headers; Orthanc's REST transport asks Orthanc instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.dicom.acquisition import acquisition_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.domain.study import SeriesSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset


def summarise(header: Dataset, *, series_id: str, instance_ids: Sequence[str]) -> SeriesSummary:
    """Return the summary of the series of which `header` is one instance's dataset.

    The AE titles stay empty: a file does not say who sent it to whom.

    Raises
    ------
    Defect
        ``invalid-attribute``.

    """
    attributes = Attributes(dataset=header, where="an instance of the series")
    acquisition = acquisition_of(attributes)
    return SeriesSummary(
        series_id=series_id,
        instance_ids=tuple(sorted(instance_ids)),
        series_number=attributes.integer("SeriesNumber"),
        modality=acquisition.modality,
        body_part=acquisition.body_part,
        description=attributes.text("SeriesDescription"),
        image_type=attributes.texts("ImageType"),
        manufacturer=acquisition.manufacturer,
        slice_thickness_mm=acquisition.slice_thickness_mm,
        called_ae_title="",
        calling_ae_title="",
    )
