"""What holds for an Orthanc as archive, beyond what every archive does."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from factories import Stack, make_datasets, ramp
from faulty_pacs import answering_http, deaf_port
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from results_in_code import make_result
from servers import (
    OrthancOptions,
    OrthancServer,
    free_port,
    orthanc_server,
    send,
    send_datasets,
    wait_for,
)
from sites import shipped_configuration

from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clic_edge.pacs.transport import Archive

    ArchiveAt = Callable[..., OrthancArchive]

pytestmark = pytest.mark.servers
JPIP_DEFLATED = "1.2.840.10008.1.2.4.95"


@pytest.fixture
def archive_at() -> Iterator[ArchiveAt]:
    """Return what makes an archive of a URL; connections are closed at the end."""
    with ExitStack() as stack:

        def make(url: str, timeout_s: float = 10) -> OrthancArchive:
            rest = HttpRest(OrthancPeer(url=url, timeout_s=timeout_s))
            stack.callback(rest.close)
            return OrthancArchive(rest)

        yield make


def _only_study(server: OrthancServer) -> str:
    (study_id,) = server.get("/studies")
    return study_id


def test_an_image_that_came_just_before_a_crash_is_found_after_it(
    archive_at: ArchiveAt, tmp_path: Path
) -> None:
    options = OrthancOptions(
        storage=tmp_path / "storage", http_port=free_port(), dicom_port=free_port(), stable_age=1
    )
    early, late = make_datasets(Stack(), ramp((2, 4, 4)))
    with orthanc_server(options) as server:
        archive = archive_at(server.url)
        send_datasets([early], server)
        study_id = _only_study(server)
        wait_for(lambda: server.get(f"/studies/{study_id}")["IsStable"], "the study is stable")
        cursor = archive.changes(0).cursor
        send_datasets([late], server)
        os.kill(server.pid, signal.SIGKILL)
    with orthanc_server(options) as server:
        changes = archive_at(server.url).changes(cursor)
    assert changes.study_ids == (study_id,)


def test_a_study_that_became_stable_is_named_again(
    archive_at: ArchiveAt, orthanc: OrthancServer
) -> None:
    archive = archive_at(orthanc.url)
    send_datasets(make_datasets(Stack(), ramp((2, 4, 4))), orthanc)
    first = archive.changes(0)
    study_id = _only_study(orthanc)
    wait_for(lambda: orthanc.get(f"/studies/{study_id}")["IsStable"], "the study is stable")
    assert first.study_ids == archive.changes(first.cursor).study_ids == (study_id,)


def test_a_cursor_beyond_the_log_starts_again_at_its_beginning(
    archive_at: ArchiveAt, orthanc: OrthancServer
) -> None:
    archive = archive_at(orthanc.url)
    send_datasets(make_datasets(Stack(), ramp((2, 4, 4))), orthanc)
    behind = archive.changes(10_000)
    assert (behind.study_ids, behind.cursor, behind.done) == ((), 0, False)
    assert archive.changes(behind.cursor).study_ids == (_only_study(orthanc),)


def test_a_deleted_study_is_not_among_the_changes(
    archive_at: ArchiveAt, orthanc: OrthancServer
) -> None:
    send_datasets(make_datasets(Stack(), ramp((2, 4, 4))), orthanc)
    orthanc.delete(f"/studies/{_only_study(orthanc)}")
    assert archive_at(orthanc.url).changes(0).study_ids == ()


def test_a_study_deleted_between_two_requests_is_refused(orthanc: OrthancServer) -> None:
    send_datasets(make_datasets(Stack(), ramp((3, 4, 4))), orthanc)
    (series,) = orthanc.get("/series")

    class Deleting(HttpRest):
        def get(self, path: str) -> bytes | None:
            body = super().get(path)
            if path.startswith("/instances/") and orthanc.get("/studies"):
                orthanc.delete(f"/studies/{_only_study(orthanc)}")
            return body

    rest = Deleting(OrthancPeer(url=orthanc.url))
    with closing(rest), pytest.raises(Refusal) as caught:
        OrthancArchive(rest).series(series)
    assert caught.value.code == "study-gone"


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_the_age_of_a_study_is_right_in_every_time_zone(archive_at: ArchiveAt, zone: str) -> None:
    with orthanc_server(OrthancOptions(environment={"TZ": zone})) as server:
        send_datasets(make_datasets(Stack(), ramp((2, 4, 4))), server)
        archive, study_id = archive_at(server.url), _only_study(server)
        assert archive.study(study_id).seconds_since_last_instance < 60
        wait_for(
            lambda: archive.study(study_id).seconds_since_last_instance >= 1, "a second has gone by"
        )


def test_the_ae_titles_are_those_of_the_association(archive_at: ArchiveAt) -> None:
    with orthanc_server(OrthancOptions(ae_title="EDGE")) as server:
        send_datasets(make_datasets(Stack(), ramp((2, 4, 4))), server, calling_ae_title="MR3")
        (series,) = archive_at(server.url).study(_only_study(server)).series
    assert (series.called_ae_title, series.calling_ae_title) == ("EDGE", "MR3")


def test_a_real_study_is_described(
    archive_at: ArchiveAt, orthanc: OrthancServer, test_data: Path
) -> None:
    send([test_data / "dicom" / "mr-brain-study3"], orthanc)
    hippocampus, post = sorted(
        archive_at(orthanc.url).study(_only_study(orthanc)).series, key=lambda one: one.description
    )
    assert (hippocampus.description, hippocampus.number_of_instances) == ("HippoCrop", 40)
    assert hippocampus.image_type == ("DERIVED", "SECONDARY", "AXIAL")
    assert (post.slice_thickness_mm, post.number_of_instances) == (5.0, 22)
    assert post.manufacturer.upper() == "SIEMENS"


def test_the_slice_thickness_of_an_enhanced_object_is_found(
    archive_at: ArchiveAt, orthanc: OrthancServer, test_data: Path
) -> None:
    send([test_data / "dicom" / "mr-enhanced"], orthanc)
    archive = archive_at(orthanc.url)
    found = {
        series.slice_thickness_mm
        for study_id in orthanc.get("/studies")
        for series in archive.study(study_id).series
    }
    assert None not in found
    assert {2.4, 4.0, 5.0} <= found


def test_an_object_that_orthanc_refuses_is_a_defect(
    archive_at: ArchiveAt, orthanc: OrthancServer
) -> None:
    broken = ResultObject(
        kind=ResultKind.SR,
        sop_class_uid="1.2",
        series_instance_uid="1.4",
        sop_instance_uid="1.3",
        content=b"not DICOM",
    )
    with pytest.raises(Defect) as caught:
        archive_at(orthanc.url).keep([broken])
    assert caught.value.code == "archive-refused"


def test_orthanc_that_overwrites_keeps_one_copy_too(archive_at: ArchiveAt) -> None:
    result = make_result(ResultKind.SR)
    options = OrthancOptions(configuration={"OverwriteInstances": True})
    with orthanc_server(options) as server:
        archive = archive_at(server.url)
        archive.keep([result])
        archive.keep([result])
        assert archive.result(result.sop_instance_uid, result.kind) == result
        assert len(server.get("/instances")) == 1


ASKING: list[Callable[[Archive], object]] = [
    lambda archive: archive.study("0123abcd"),
    lambda archive: archive.series("0123abcd"),
    lambda archive: archive.changes(0),
    lambda archive: archive.keep([make_result(ResultKind.SR)]),
    lambda archive: archive.result("1.2.3", ResultKind.SR),
]


@pytest.mark.parametrize("ask", ASKING, ids=["study", "series", "changes", "keep", "result"])
def test_an_orthanc_that_is_away_is_asked_again_later(
    archive_at: ArchiveAt, ask: Callable[[Archive], object]
) -> None:
    port = free_port()
    with pytest.raises(Transient) as caught:
        ask(archive_at(f"http://127.0.0.1:{port}"))
    assert caught.value.code == "archive-unreachable"
    assert f"127.0.0.1:{port}" in caught.value.sentence
    assert "0123abcd" not in str(caught.value)


@pytest.mark.parametrize("ask", ASKING, ids=["study", "series", "changes", "keep", "result"])
@pytest.mark.parametrize(("status", "body"), [(500, b""), (200, b"<html>A proxy</html>")])
def test_an_answer_that_is_not_orthancs_is_asked_again_later(
    archive_at: ArchiveAt, ask: Callable[[Archive], object], status: int, body: bytes
) -> None:
    with answering_http(status, body=body) as url, pytest.raises(Transient) as caught:
        ask(archive_at(url))
    assert caught.value.code == "archive-unreachable"


def test_an_orthanc_that_says_nothing_is_given_up_in_time(archive_at: ArchiveAt) -> None:
    with deaf_port() as port, pytest.raises(Transient) as caught:
        archive_at(f"http://127.0.0.1:{port}", timeout_s=0.2).study("0123abcd")
    assert caught.value.code == "archive-unreachable"


def test_a_password_is_sent_and_its_absence_is_named(archive_at: ArchiveAt) -> None:
    options = OrthancOptions(
        configuration={"AuthenticationEnabled": True, "RegisteredUsers": {"clic": "edge"}}
    )
    with orthanc_server(options) as server:
        rest = HttpRest(OrthancPeer(url=server.url, user="clic", password="edge"))  # noqa: S106 - a test's
        with closing(rest):
            assert OrthancArchive(rest).changes(0).study_ids == ()
        with pytest.raises(Transient) as caught:
            archive_at(server.url).changes(0)
    assert "HTTP 401" in caught.value.sentence


def accepted_syntax(server: OrthancServer, *offered: str) -> str:
    """Return which of some transfer syntaxes Orthanc takes for a CT image; empty for none."""
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(CTImageStorage, list(offered))
    association = entity.associate("127.0.0.1", server.dicom_port, ae_title=server.ae_title)
    taken = [str(one.transfer_syntax[0]) for one in association.accepted_contexts]
    association.release()
    return "".join(taken)


def test_the_template_of_the_appliance_starts_and_keeps_what_it_promises(
    tmp_path: Path, archive_at: Callable[[str], OrthancArchive]
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, orthanc\n"
        "configuration = orthanc.GetConfiguration()\n"
        "orthanc.RegisterRestCallback(\n"
        "    '/shown', lambda output, uri, **_: output.AnswerBuffer(configuration, 'text/plain'))\n"
    )
    options = OrthancOptions(
        template=shipped_configuration(tmp_path / "configuration", "a secret"),
        python_plugin=plugin,
        stable_age=1,
        log_in=("clic-edge", "a secret"),
    )
    first, second = make_datasets(Stack(), ramp((2, 4, 4)))
    with orthanc_server(options) as server:
        with pytest.raises(Transient, match="HTTP 401"):
            archive_at(server.url).changes(0)
        assert server.get("/system")["DicomAet"] == "CLICEDGE"
        assert {"dicom-web", "gdcm", "python"} <= set(server.get("/plugins"))
        shown = server.get("/shown")
        deflated = (DeflatedExplicitVRLittleEndian, JPIP_DEFLATED)
        assert accepted_syntax(server, *deflated) == "", "what it inflates is not bounded"
        assert accepted_syntax(server, *deflated, ImplicitVRLittleEndian) == ImplicitVRLittleEndian
        send_datasets([first], server)
        first.PatientName = "Another^Name"
        send_datasets([first, second], server)
        (patient,) = server.get("/patients?expand")
    assert shown["ClicEdge"]["Settings"] == "/etc/clic-edge/clic-edge.toml"
    assert shown["RemoteAccessAllowed"] is False
    assert patient["MainDicomTags"]["PatientName"] == "Testesen^Åse^Ærlig"
