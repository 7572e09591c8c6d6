"""A study that is still growing is not taken."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.errors import Transient

if TYPE_CHECKING:
    from clic_edge.domain.study import StudySummary
    from clic_edge.pipeline.line import ReadyPipeline

_ASK_AGAIN = timedelta(seconds=15)


def require_complete(study: StudySummary, pipeline: ReadyPipeline) -> None:
    """Return when nothing arrived for the quiet period and the PACS reports no more instances.

    Raises
    ------
    Transient
        ``study-growing`` or ``study-incomplete``; says when to look again.

    """
    quiet = pipeline.settings.completeness.quiet_seconds
    silence = study.seconds_since_last_instance
    if silence < quiet:
        raise Transient(
            "study-growing",
            f"The last image came {silence:.0f} s ago; the rule waits for {quiet:.0f} s of quiet.",
            retry_after=timedelta(seconds=quiet - silence),
        )
    if pipeline.census is None:
        return
    expected = pipeline.census.count_instances(study.study_instance_uid)
    here = sum(series.number_of_instances for series in study.series)
    if expected is not None and here < expected:
        raise Transient(
            "study-incomplete",
            f"{here} of the {expected} instances that the PACS reports are here.",
            retry_after=_ASK_AGAIN,
        )
