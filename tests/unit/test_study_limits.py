"""A study is taken within its limits; beyond them it ends by name and is not fetched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import hostile_files as made
import lines
import pytest
from sites import pipeline_toml

from clic_edge.config import load_pipelines
from clic_edge.dicom.excerpt import LARGEST_HEADER
from clic_edge.domain.limits import StudyLimits
from clic_edge.errors import Refusal
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pipeline.intake import NO_PIPELINE, propose
from clic_edge.pipeline.reconcile import CURSOR
from clic_edge.pipeline.worker import HEARTBEAT, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.config import Pipeline
    from clic_edge.domain.study import StudySummary
    from clic_edge.ledger.cases import Admission


class Poisoned(lines.Shelf):
    """An archive over one of whose studies an error comes that nobody foresaw."""

    def study(self, study_id: str) -> StudySummary:
        """Fail as no archive should."""
        raise OverflowError(study_id)


LIMITS = StudyLimits(study_series=3, series_instances=4, series_mib=1)


@dataclass(kw_only=True)
class Shelf:
    """Orthanc's REST API over one study, which counts what it was asked for."""

    file: bytes = field(default_factory=lambda: made.part10(made.image(1)))
    series: int = 1
    instances: int = 2
    size: int = 1000
    asked: list[str] = field(default_factory=list)

    def get(self, path: str) -> bytes | None:
        """Return an answer as Orthanc's."""
        self.asked.append(path)
        instances = [f"instance-{number}" for number in range(self.instances)]
        answers = {
            "/studies/study": {
                "Series": [f"series-{number}" for number in range(self.series)],
                "LastUpdate": "20260102T030405",
                "MainDicomTags": {"StudyInstanceUID": "1.2.3"},
            },
            "statistics": {"DicomDiskSize": str(self.size)},
            "metadata?expand": {},
        }
        if path == "/tools/now":
            return b"20260102T040405"
        if path.endswith("/file"):
            return self.file
        of_series = {"Instances": instances, "ParentStudy": "study"}
        known = answers.get(path) or answers.get(path.rpartition("/")[2])
        return json.dumps(known if known is not None else of_series).encode()

    def opening(self, instance_id: str, most: int) -> bytes | None:
        """Return the first bytes of the one file."""
        self.asked.append(instance_id)
        return self.file[:most]

    def post(self, path: str, body: bytes) -> bytes | None:
        """Nothing is written."""
        raise NotImplementedError


@pytest.fixture
def pipelines(tmp_path: Path) -> tuple[Pipeline, ...]:
    """Return the pipeline that ships."""
    (tmp_path / "hippocampus.toml").write_text(pipeline_toml())
    return load_pipelines(tmp_path)


def proposed(shelf: Shelf, pipelines: tuple[Pipeline, ...]) -> Admission:
    (admission,) = propose(OrthancArchive(shelf, LIMITS).study("study"), pipelines)
    return admission


def test_a_study_within_its_limits_is_taken(pipelines: tuple[Pipeline, ...]) -> None:
    assert proposed(Shelf(series=3), pipelines).pipeline == "hippocampus"


def test_a_study_of_too_many_series_is_refused_and_none_of_them_is_asked_for(
    pipelines: tuple[Pipeline, ...],
) -> None:
    shelf = Shelf(series=4)
    admission = proposed(shelf, pipelines)
    assert (admission.pipeline, admission.code) == (NO_PIPELINE, "study-too-large")
    assert admission.case_id == proposed(shelf, pipelines).case_id
    assert not [path for path in shelf.asked if "series" in path or "instance" in path]


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        (
            {0x00080001: made.element(0x00080001, "UN", bytes(LARGEST_HEADER + 2))},
            "header-too-large",
        ),
        ({0x00081115: made.nested(65)}, "header-unreadable"),
        ({0x00080008: made.element(0x00080008, "UT", b"A\\" * 40_000)}, "header-unreadable"),
    ],
    ids=["too large", "too deep", "too many values"],
)
def test_a_header_beyond_its_limits_is_refused_by_name(
    pipelines: tuple[Pipeline, ...], elements: dict[int, bytes], code: str
) -> None:
    admission = proposed(Shelf(file=made.part10(made.image(1) | elements)), pipelines)
    assert (admission.pipeline, admission.code) == (NO_PIPELINE, code)
    assert "header" in admission.reason


def test_sequences_in_each_other_up_to_the_limit_are_passed_over(
    pipelines: tuple[Pipeline, ...],
) -> None:
    file = made.part10(made.image(1) | {0x00081115: made.nested(64)})
    assert proposed(Shelf(file=file), pipelines).pipeline == "hippocampus"


@pytest.mark.parametrize("shelf", [Shelf(instances=5), Shelf(size=2 << 20)], ids=["many", "large"])
def test_a_series_beyond_its_limits_is_refused_before_it_is_fetched(shelf: Shelf) -> None:
    with pytest.raises(Refusal) as caught:
        OrthancArchive(shelf, LIMITS).series("series-0")
    assert caught.value.code == "series-too-large"
    assert not [path for path in shelf.asked if path.endswith("/file")]


def test_a_header_is_read_in_every_encoding(pipelines: tuple[Pipeline, ...]) -> None:
    for syntax in (made.EXPLICIT, made.DEFLATED):
        file = made.part10(made.image(1), syntax)
        assert proposed(Shelf(file=file), pipelines).pipeline == "hippocampus"


def test_a_study_over_which_an_unforeseen_error_comes_ends_neither_the_worker_nor_its_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[object] = []
    monkeypatch.setattr("clic_edge.pipeline.worker.deliver_again", sent.append)
    line = lines.a_line(shelf=Poisoned(studies={"study": lines.a_study()}))
    worker = SimpleNamespace(
        _line=line, _pace=SimpleNamespace(instance="worker"), _rescue=lambda: None
    )
    Worker.look_for_missed(worker)
    assert line.ledger.records.cursor(HEARTBEAT) > 0
    assert line.ledger.records.cursor(CURSOR) == 0, "the study is looked at again"
    assert sent == [line]
