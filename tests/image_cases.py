"""Analyses of single images: made in code, predicted by the package of `write_image_package`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import NOW, series_of

from clic_edge.dicom.images import build_image
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.results.writer import Analysis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from clic_edge.domain.image import Image
    from clic_edge.inference.runtime import Runtime


def image_in(datasets: Sequence[Dataset], index: int = 0) -> Image:
    """Return one image of a series, as a model sees it."""
    series = series_of(list(datasets))
    clean = CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )
    return build_image(clean, index)


def image_analysis(
    runtime: Runtime, datasets: Sequence[Dataset], index: int = 0, *, language: str = "en"
) -> Analysis:
    """Return an analysis of one image of a series."""
    image = image_in(datasets, index)
    return Analysis(
        case_id="case-1",
        started_at=NOW,
        series=series_of(list(datasets)),
        slices=image.slices,
        prediction=runtime.predict(image.narrowed(runtime.needs)),
        language=language,
    )
