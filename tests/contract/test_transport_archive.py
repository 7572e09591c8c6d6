"""What every Archive does, with the real thing behind each."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import CANARY, Stack, file_bytes, make_datasets, ramp
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from results_in_code import make_results
from servers import orthanc_server, send_datasets

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Refusal
from clic_edge.pacs.folder import FolderArchive
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.pacs.transport import Archive

pytestmark = pytest.mark.servers
PATIENT = replace(CANARY, patient_id="Ærø-Åse-1")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An archive, and how images get into it."""

    archive_of: Callable[[list[Dataset]], Archive]


@contextmanager
def _orthanc(_: Path) -> Iterator[Setting]:
    with (
        orthanc_server() as server,
        closing(HttpRest(OrthancPeer(url=server.url))) as rest,
    ):

        def archive_of(datasets: list[Dataset]) -> Archive:
            send_datasets(datasets, server)
            return OrthancArchive(rest)

        yield Setting(archive_of=archive_of)


@contextmanager
def _folder(tmp_path: Path) -> Iterator[Setting]:
    def archive_of(datasets: list[Dataset]) -> Archive:
        for number, ds in enumerate(datasets):
            (tmp_path / f"{number:03}.dcm").write_bytes(file_bytes(ds))
        return FolderArchive(tmp_path)

    yield Setting(archive_of=archive_of)


@pytest.fixture(params=[_orthanc, _folder], ids=["orthanc", "folder"])
def archive_of(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[list[Dataset]], Archive]]:
    """Return what makes an archive that holds the datasets."""
    with request.param(tmp_path) as setting:
        yield setting.archive_of


def _two_series() -> list[Dataset]:
    """Return a CT and, before it by number, an MR; neither sent in order."""
    ct = Stack(patient=PATIENT, modality="CT", series_number=7, description="Grød", slice_step=2.5)
    mr = Stack(patient=PATIENT, series_number=2)
    return [*make_datasets(ct, ramp((5, 4, 4)))[::-1], *make_datasets(mr, ramp((3, 4, 4)))]


def _only_study(archive: Archive) -> str:
    (study_id,) = archive.changes(0).study_ids
    return study_id


def test_a_study_is_described_series_by_series(archive_of: Callable[..., Archive]) -> None:
    archive = archive_of(_two_series())
    summary = archive.study(_only_study(archive))
    assert summary.study_instance_uid == PATIENT.study_instance_uid
    assert summary.seconds_since_last_instance >= 0
    mr, ct = summary.series
    assert (mr.modality, mr.series_number, mr.number_of_instances) == ("MR", 2, 3)
    assert (ct.modality, ct.series_number, ct.number_of_instances) == ("CT", 7, 5)
    assert ct.description == "Grød"
    assert ct.body_part == "BRAIN"
    assert ct.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert ct.manufacturer == "Phantom Works"
    assert ct.slice_thickness_mm == 2.5


def test_absent_attributes_are_empty_or_none(archive_of: Callable[..., Archive]) -> None:
    datasets = make_datasets(Stack(), ramp((1, 4, 4)))
    for keyword in ("SeriesNumber", "BodyPartExamined", "SeriesDescription", "ImageType"):
        delattr(datasets[0], keyword)
    datasets[0].SliceThickness = None
    archive = archive_of(datasets)
    (series,) = archive.study(_only_study(archive)).series
    assert (series.series_number, series.slice_thickness_mm) == (None, None)
    assert (series.body_part, series.description, series.image_type) == ("", "", ())


def test_a_series_is_fetched_whole_and_in_the_order_of_the_summary(
    archive_of: Callable[..., Archive],
) -> None:
    sent = {str(ds.SOPInstanceUID): ds for ds in _two_series() if ds.Modality == "CT"}
    archive = archive_of(_two_series())
    _, ct = archive.study(_only_study(archive)).series
    series = archive.series(ct.series_id)
    fetched = [dcmread(DicomBytesIO(one.content)) for one in series.instances]
    assert {str(ds.SOPInstanceUID) for ds in fetched} == set(sent)
    for ds in fetched:
        np.testing.assert_array_equal(ds.pixel_array, sent[str(ds.SOPInstanceUID)].pixel_array)
    assert len(ct.instance_ids) == len(series.instances)
    assert ct.instance_ids == tuple(sorted(ct.instance_ids))
    assert archive.series(ct.series_id) == series


def test_a_series_knows_whose_it_is_also_in_danish(archive_of: Callable[..., Archive]) -> None:
    datasets = _two_series()
    for ds in datasets:
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.IssuerOfPatientID = "Sønderjylland"
    archive = archive_of(datasets)
    _, ct = archive.study(_only_study(archive)).series
    series = archive.series(ct.series_id)
    assert series.patient_id == "Ærø-Åse-1"
    assert series.issuer_of_patient_id == "Sønderjylland"
    assert series.study_instance_uid == PATIENT.study_instance_uid
    assert series.series_instance_uid == f"{PATIENT.uid_root}.7"


def test_the_order_of_arrival_changes_nothing(
    archive_of: Callable[..., Archive], tmp_path: Path
) -> None:
    archive = archive_of(_two_series())
    _, ct = archive.study(_only_study(archive)).series
    turned = tmp_path / "turned"
    turned.mkdir()
    with (_orthanc if isinstance(archive, OrthancArchive) else _folder)(turned) as again:
        other = again.archive_of(_two_series()[::-1])
        assert other.series(ct.series_id) == archive.series(ct.series_id)


def test_what_is_gone_is_refused_by_name(archive_of: Callable[..., Archive]) -> None:
    archive = archive_of([])
    for ask in (archive.study, archive.series):
        with pytest.raises(Refusal) as caught:
            ask("0123abcd")
        assert caught.value.code == "study-gone"
        assert "0123abcd" not in str(caught.value)


def test_changes_name_each_study_once_and_then_nothing_is_new(
    archive_of: Callable[..., Archive],
) -> None:
    other = Stack(patient=replace(PATIENT, study_instance_uid="1.2.3", uid_root="1.2.3.4"))
    archive = archive_of([*_two_series(), *make_datasets(other, ramp((2, 4, 4)))])
    changes = archive.changes(0)
    assert changes.done
    assert len(changes.study_ids) == len(set(changes.study_ids)) == 2
    again = archive.changes(changes.cursor)
    assert (again.study_ids, again.cursor, again.done) == ((), changes.cursor, True)


def test_results_are_kept_byte_for_byte_and_once(archive_of: Callable[..., Archive]) -> None:
    archive = archive_of(_two_series())
    results = make_results()
    archive.keep(results)
    archive.keep(results)
    for result in results:
        assert archive.result(result.sop_instance_uid, result.kind) == result


def test_a_result_never_kept_is_a_defect(archive_of: Callable[..., Archive]) -> None:
    with pytest.raises(Defect) as caught:
        archive_of([]).result("1.2.3.4", ResultKind.SR)
    assert caught.value.code == "result-gone"


def test_no_handle_and_no_repr_names_the_patient(archive_of: Callable[..., Archive]) -> None:
    archive = archive_of(_two_series())
    summary = archive.study(_only_study(archive))
    series = archive.series(summary.series[0].series_id)
    shown = f"{summary!r} {series!r} {archive.changes(0)!r}"
    for secret in (PATIENT.patient_id, PATIENT.study_instance_uid, PATIENT.uid_root, "Grød"):
        assert secret not in shown
