"""Lines for tests: a summary, a pipeline and a line made in code, with a ledger in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ledgers import make_tables

from clic_edge.config import Pipeline
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.profile import BASIC
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.domain.study import SeriesSummary, StudySummary
from clic_edge.errors import Defect, Refusal
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.pacs.transport import Changes
from clic_edge.pipeline.line import Line, Patience, ReadyPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.inference.runtime import Runtime
    from clic_edge.pacs.transport import StudyCensus

STUDY_ID = "study-1"


def a_series(
    series_id: str = "series-1", *, instances: int = 2, description: str = "T1", maker: str = "Acme"
) -> SeriesSummary:
    """Return an MR series as an archive describes it."""
    return SeriesSummary(
        series_id=series_id,
        instance_ids=tuple(f"{series_id}.{number:03}" for number in range(instances)),
        series_number=1,
        modality="MR",
        body_part="BRAIN",
        description=description,
        image_type=("ORIGINAL", "PRIMARY"),
        manufacturer=maker,
        slice_thickness_mm=1.0,
        called_ae_title="CLICEDGE",
        calling_ae_title="MODALITY",
    )


def a_study(
    *series: SeriesSummary, silence: float = 1000.0, study_id: str = STUDY_ID
) -> StudySummary:
    """Return a study; by default of one series."""
    return StudySummary(
        study_id=study_id,
        study_instance_uid="1.2.826.0.1.3680043.10.1561.1",
        seconds_since_last_instance=silence,
        series=series or (a_series(),),
    )


def a_pipeline(
    name: str = "brain", *, description: str = "T1", quiet_seconds: float = 0.0
) -> Pipeline:
    """Return a pipeline that takes MR series of a description."""
    return Pipeline.model_validate(
        {
            "name": name,
            "title": name,
            "model": "model",
            "deid_profile": "basic",
            "destinations": ["pacs"],
            "rule": {"modality": ["MR"], "series_description": description},
            "completeness": {"quiet_seconds": quiet_seconds},
        }
    )


def ready(pipeline: Pipeline, census: StudyCensus | None = None) -> ReadyPipeline:
    """Return the pipeline without a model, writers or destinations."""
    return ReadyPipeline(
        settings=pipeline,
        profile=BASIC,
        volume_policy=VolumePolicy(),
        runtime=_no_model,
        writers=(),
        destinations=(),
        census=census,
    )


def _no_model() -> Runtime:
    raise Defect("no-model", "This test has no model.")


def a_ledger() -> Ledger:
    """Return an empty ledger in memory; nothing takes what it queues."""
    engine = open_engine("sqlite://")
    make_tables(engine)
    return Ledger.on(engine)


@dataclass(kw_only=True)
class Shelf:
    """An archive whose studies a test puts there and takes away."""

    studies: dict[str, StudySummary] = field(default_factory=dict)

    def study(self, study_id: str) -> StudySummary:
        """Return a study that was put there."""
        if study_id not in self.studies:
            raise Refusal("study-gone", "The study was deleted in the archive.")
        return self.studies[study_id]

    def series(self, series_id: str) -> Series:
        """Refuse: these tests fetch no pixels."""
        raise NotImplementedError(series_id)

    def changes(self, since: int) -> Changes:
        """Return every study once, one to a page."""
        studies = tuple(self.studies)[since : since + 1]
        cursor = since + len(studies)
        return Changes(study_ids=studies, cursor=cursor, done=cursor == len(self.studies))

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Refuse: these tests make no results."""
        raise NotImplementedError(results)

    def result(self, sop_instance_uid: str) -> ResultObject:
        """Refuse, as `keep`."""
        raise NotImplementedError(sop_instance_uid)


def a_line(*pipelines: Pipeline, shelf: Shelf | None = None) -> Line:
    """Return a line on a shelf, with a ledger in memory."""
    return Line(
        archive=shelf or Shelf(),
        ledger=a_ledger(),
        key=DeidKey(b"k" * 32),
        pipelines=tuple(ready(pipeline) for pipeline in pipelines),
        patience=Patience(
            first=timedelta(seconds=10),
            longest=timedelta(minutes=2),
            give_up_after=timedelta(days=1),
        ),
    )
