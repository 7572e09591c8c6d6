"""The plugin, with a stand-in for Orthanc's module: it tells, shows, and never gets in the way."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import hostile_files
import pytest
from dbos import run_dbos_database_migrations
from ledgers import make_tables
from servers import wait_for
from sites import ROOT, pipeline_toml

from clic_edge import plugin
from clic_edge.app import Appliance
from clic_edge.domain.case import CaseState
from clic_edge.ledger.cases import Admission
from clic_edge.pipeline.capacity import study_handle
from clic_edge.pipeline.senders import Answer
from clic_edge.plugin import (
    BUTTON,
    UNKNOWN_RESOURCE,
    Front,
    register,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clic_edge.ledger import Ledger

STABLE_STUDY, STABLE_SERIES, STOPPED = 14, 13, 10
STUDY = "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"
NAME = "Kanariefugl"


class OrthancException(Exception):
    """What Orthanc's module raises, with Orthanc's code first."""


@dataclass(kw_only=True)
class StandIn:
    """Orthanc's module as the plugin uses it, with one study to tell of."""

    settings: Path | None
    resources: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    callbacks: dict[str, Callable[..., None]] = field(default_factory=dict)
    told_of_changes: list[Callable[..., None]] = field(default_factory=list)
    """By every plugin that was registered here."""
    script: str = ""
    ChangeType: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(STABLE_STUDY=STABLE_STUDY, ORTHANC_STOPPED=STOPPED)
    )
    OrthancException: type[Exception] = OrthancException
    storage: Path | None = None
    reserve: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    """While it is not set, Orthanc's own API does not answer."""

    def __post_init__(self) -> None:
        """Answer at once, until a test closes the gate."""
        self.gate.set()

    def GetConfiguration(self) -> str:  # noqa: N802, D102 - Orthanc's name
        ours = {"Settings": str(self.settings), "ReserveMegabytes": self.reserve}
        disks = {"StorageDirectory": str(self.storage)} if self.storage else {}
        return json.dumps({"ClicEdge": ours} | disks if self.settings else disks)

    def RestApiGet(self, path: str) -> bytes:  # noqa: N802, D102 - as above
        assert self.gate.wait(30)
        if path not in self.resources:
            raise OrthancException(UNKNOWN_RESOURCE, f"Unknown resource {NAME}")
        answer = self.resources[path]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return answer
        return json.dumps(answer).encode() if path != "/tools/now" else str(answer).encode()

    def LogWarning(self, message: str) -> None:  # noqa: N802, D102 - as above
        self.warnings.append(message)

    def ExtendOrthancExplorer(self, script: str) -> None:  # noqa: N802, D102 - as above
        self.script += script

    def RegisterOnChangeCallback(self, callback: Callable[..., None]) -> None:  # noqa: N802, D102 - as above
        self.callbacks["change"] = callback
        self.told_of_changes.append(callback)

    def RegisterRestCallback(self, route: str, callback: Callable[..., None]) -> None:  # noqa: N802, D102 - as above
        self.callbacks[route] = callback

    def RegisterIncomingCStoreInstanceFilter(self, callback: Callable[..., int]) -> None:  # noqa: N802, D102 - as above
        self.callbacks["c-store"] = callback


@dataclass(kw_only=True)
class Output:
    """What was answered to a request."""

    status: int = 0
    body: str = ""

    def AnswerBuffer(self, body: str, mime: str) -> None:  # noqa: N802, D102 - Orthanc's name
        assert mime == "application/json"
        self.status, self.body = 200, body

    def SendHttpStatus(self, status: int, body: str, size: int) -> None:  # noqa: N802, D102 - as above
        assert size == len(body.encode())
        self.status, self.body = status, body

    def SendMethodNotAllowed(self, allowed: str) -> None:  # noqa: N802, D102 - as above
        self.status, self.body = 405, allowed


@dataclass(kw_only=True)
class Received:
    """An instance that comes by C-STORE."""

    content: bytes = field(default_factory=lambda: hostile_files.part10(hostile_files.image(1)))
    ae_title: str = "CT1"

    def GetInstanceRemoteAet(self) -> str:  # noqa: N802, D102 - Orthanc's name
        return self.ae_title

    def GetInstanceSize(self) -> int:  # noqa: N802, D102 - Orthanc's name
        return len(self.content)

    def GetInstanceData(self) -> bytes:  # noqa: N802, D102 - as above
        return self.content


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return the settings of a site whose database a worker has made."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "hippocampus.toml").write_text(pipeline_toml())
    path = tmp_path / "clic-edge.toml"
    path.write_text(
        f'[appliance]\nstate_dir = "{tmp_path}"\nmodels = "{ROOT / "models"}"\n'
        f'deid_profiles = "{ROOT / "configs" / "deid"}"\n'
        f'[destinations.pacs]\nkind = "folder"\npath = "{tmp_path}"\n'
        '[senders]\nlisted = ["CT1@192.0.2.7"]\n'
    )
    make_tables(Appliance.open(path).engine)
    run_dbos_database_migrations(f"sqlite:///{tmp_path}/clic-edge.sqlite")
    return path


@pytest.fixture
def ledger(settings: Path) -> Ledger:
    """Return what the plugin writes to."""
    return Appliance.open(settings).ledger


@pytest.fixture
def orthanc(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yield an Orthanc, guarded as its unit has it, with one study that the pipeline takes."""
    monkeypatch.setattr(plugin, "is_guarded", lambda _: True)
    monkeypatch.delenv(plugin.ROOM, raising=False)
    instances = ["instance-1", "instance-2"]
    file = hostile_files.part10(hostile_files.image(1))
    study_tags = {"StudyInstanceUID": "1.2.3", "PatientName": NAME}
    stand_in = StandIn(
        settings=settings,
        resources={
            f"/studies/{STUDY}": {
                "ID": STUDY,
                "Series": ["series-1"],
                "LastUpdate": "20260102T030405",
                "MainDicomTags": study_tags,
            },
            "/tools/now": "20260102T040405",
            "/series/series-1": {"Instances": instances, "ParentStudy": STUDY},
            "/instances/instance-1/attachments/dicom/size": str(len(file)).encode(),
            "/instances/instance-1/file": file,
            "/instances/instance-1/metadata?expand": {},
        },
    )
    yield stand_in
    for tell in stand_in.told_of_changes:
        tell(STOPPED, 0, "")


def _ask(front: Front, method: str, study_id: str = STUDY) -> Output:
    output = Output()
    uri = f"/clic-edge/studies/{study_id}"
    front.on_request(output, uri, method=method, groups=(study_id,), get={}, headers={})
    return output


def test_it_registers_a_callback_a_route_and_a_button(orthanc: StandIn) -> None:
    front = register(orthanc)
    assert orthanc.callbacks == {
        "change": front.on_change,
        "c-store": front.on_c_store,
        plugin.ROUTE: front.on_request,
        plugin.GUARD_ROUTE: orthanc.callbacks[plugin.GUARD_ROUTE],
    }
    assert orthanc.script == BUTTON


def test_it_says_to_the_log_and_to_who_asks_whether_the_parser_is_guarded(
    orthanc: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for guarded in (True, False):
        monkeypatch.setattr(plugin, "is_guarded", lambda _, is_so=guarded: is_so)
        register(orthanc)
        output = Output()
        orthanc.callbacks[plugin.GUARD_ROUTE](output, plugin.GUARD_ROUTE, method="GET")
        assert (output.status, json.loads(output.body)) == (200, {"nesting": guarded})
    (warning,) = orthanc.warnings
    assert "can end Orthanc" in warning
    orthanc.callbacks[plugin.GUARD_ROUTE](output, plugin.GUARD_ROUTE, method="DELETE")
    assert output.status == 405


def test_a_stable_study_is_queued(orthanc: StandIn, ledger: Ledger) -> None:
    register(orthanc).on_change(STABLE_STUDY, 1, STUDY)
    wait_for(lambda: bool(ledger.cases.of_study(STUDY)), "the study has its case")
    (case,) = ledger.cases.of_study(STUDY)
    assert (case.state, case.pipeline, case.expedited) == (
        CaseState.RECEIVED,
        "hippocampus",
        False,
    )
    assert orthanc.warnings == []


def test_its_threads_end_with_orthanc(orthanc: StandIn) -> None:
    before = set(threading.enumerate())
    front = register(orthanc)
    begun = set(threading.enumerate()) - before
    assert begun
    front.on_change(STOPPED, 0, "")
    wait_for(lambda: not any(one.is_alive() for one in begun), "they end")


def test_other_events_are_none_of_its_business(orthanc: StandIn, ledger: Ledger) -> None:
    front = register(orthanc)
    front.on_change(STABLE_SERIES, 2, STUDY)
    assert front._stable.empty()
    assert ledger.cases.of_study(STUDY) == ()


def test_an_event_returns_while_orthanc_itself_does_not_answer(
    orthanc: StandIn, ledger: Ledger
) -> None:
    front = register(orthanc)
    orthanc.gate.clear()
    for _ in range(100):
        front.on_change(STABLE_STUDY, 1, STUDY)
    assert ledger.cases.of_study(STUDY) == ()
    orthanc.gate.set()
    wait_for(front._stable.empty, "every event is looked at")
    wait_for(lambda: len(ledger.cases.of_study(STUDY)) == 1, "the study has its one case")


def test_events_beyond_what_memory_should_hold_are_left_to_the_worker(
    orthanc: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "WAITING_STUDIES", 1)
    front = register(orthanc)
    orthanc.gate.clear()
    for _ in range(3):
        front.on_change(STABLE_STUDY, 1, STUDY)
    assert any("the worker will find the rest" in warning for warning in orthanc.warnings)
    orthanc.gate.set()


@pytest.mark.parametrize("settings_text", ["", "nonsense", "[workers]\n"])
def test_wrong_settings_break_no_callback_and_are_told_without_their_text(
    orthanc: StandIn, settings: Path, settings_text: str
) -> None:
    settings.write_text(settings_text)
    front = register(orthanc)
    front.on_change(STABLE_STUDY, 1, STUDY)
    wait_for(lambda: bool(orthanc.warnings), "the plugin says that it could not")
    assert orthanc.warnings[0].startswith("clic-edge: a study could not be queued (")
    assert _ask(front, "GET").status == 503


def test_it_works_again_once_the_settings_are_right(
    orthanc: StandIn, settings: Path, ledger: Ledger
) -> None:
    good = settings.read_text()
    settings.unlink()
    front = register(orthanc)
    assert _ask(front, "POST").status == 503
    settings.write_text(good)
    assert _ask(front, "POST").status == 200
    assert len(ledger.cases.of_study(STUDY)) == 1


def test_a_database_that_is_away_breaks_no_callback(
    orthanc: StandIn, settings: Path, tmp_path: Path
) -> None:
    text = settings.read_text()
    away = f'database = "sqlite:///{tmp_path}/away/clic-edge.sqlite"\n[destinations.pacs]'
    settings.write_text(text.replace("[destinations.pacs]", away))
    front = register(orthanc)
    front.on_change(STABLE_STUDY, 1, STUDY)
    wait_for(lambda: bool(orthanc.warnings), "the plugin says that it could not")
    for method in ("GET", "POST"):
        answer = _ask(front, method)
        assert answer.status == 503
        assert answer.body == "The ledger cannot be reached; no study is lost by that."


def test_whatever_goes_wrong_inside_is_answered_without_its_text(orthanc: StandIn) -> None:
    orthanc.resources[f"/studies/{STUDY}"] = RuntimeError(NAME)
    front = register(orthanc)
    front.on_change(STABLE_STUDY, 1, STUDY)
    wait_for(lambda: bool(orthanc.warnings), "the plugin says that it could not")
    for method in ("GET", "POST"):
        answer = _ask(front, method)
        assert answer.status == 503
        assert NAME not in answer.body
    assert not [warning for warning in orthanc.warnings if NAME in warning]
    assert all("RuntimeError" in warning for warning in orthanc.warnings)


def test_a_study_that_is_not_there_is_answered_with_404(orthanc: StandIn) -> None:
    front = register(orthanc)
    orthanc.resources.clear()
    for method in ("GET", "POST"):
        answer = _ask(front, method)
        assert answer.status == 404
        assert NAME not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_not_allowed(orthanc: StandIn, method: str) -> None:
    answer = _ask(register(orthanc), method)
    assert (answer.status, answer.body) == (405, "GET,POST")


def test_get_changes_nothing_and_names_no_patient(orthanc: StandIn, ledger: Ledger) -> None:
    answer = _ask(register(orthanc), "GET")
    assert answer.status == 200
    status = json.loads(answer.body)
    assert (status["study_id"], status["cases"]) == (STUDY, [])
    assert [series["taken"] for series in status["series"]] == [True]
    assert NAME not in answer.body
    assert ledger.cases.of_study(STUDY) == ()


def test_post_runs_the_study_now_and_twice_is_once(orthanc: StandIn, ledger: Ledger) -> None:
    front = register(orthanc)
    for _ in range(2):
        answer = _ask(front, "POST")
        (shown,) = json.loads(answer.body)["cases"]
        assert shown["case"]["expedited"] is True
    assert len(ledger.cases.of_study(STUDY)) == 1


def test_the_settings_lie_in_etc_unless_orthanc_says_otherwise(orthanc: StandIn) -> None:
    orthanc.settings = None
    assert str(register(orthanc)._settings_path) == "/etc/clic-edge/clic-edge.toml"


def bring(front: Front, who: str = "192.0.2.7 CT1", content: bytes = b"") -> int:
    """Return the answer to an instance of a caller, as the kernel and Orthanc tell of it."""
    address, _, ae_title = who.partition(" ")
    front._connected = lambda: frozenset({address} - {""})
    return front.on_c_store(Received(content=content, ae_title=ae_title))


def test_images_of_a_sender_that_nobody_allowed_are_refused_and_it_is_remembered(
    orthanc: StandIn, ledger: Ledger
) -> None:
    front = register(orthanc)
    for who in ("192.0.2.8 CT1", "192.0.2.7 CT2", "192.0.2.7 CT2", ""):
        assert bring(front, who) == Answer.NOT_AUTHORIZED
    assert bring(front) == bring(front, "127.0.0.1 CLICEDGE-QA") == Answer.SUCCESS
    wait_for(lambda: len(ledger.senders.all()) == 2, "both are remembered")
    assert {(one.ae_title, one.address): one.instances for one in ledger.senders.all()} == {
        ("CT1", "192.0.2.8"): 1,
        ("CT2", "192.0.2.7"): 2,
    }


def test_nobody_is_let_in_for_want_of_settings(orthanc: StandIn, settings: Path) -> None:
    settings.write_text("nonsense")
    assert bring(register(orthanc)) == Answer.OUT_OF_RESOURCES


def test_images_are_turned_away_before_the_disk_is_full_and_taken_when_there_is_room(
    orthanc: StandIn, tmp_path: Path
) -> None:
    orthanc.storage, orthanc.reserve = tmp_path, 1 << 30  # no disk has a petabyte free
    short = register(orthanc)
    assert [bring(short) for _ in range(2)] == [Answer.OUT_OF_RESOURCES] * 2
    assert os.environ[plugin.ROOM] == "no"
    (warning,) = orthanc.warnings
    assert "turned away (0xA700)" in warning
    short._capacity._reserve = replace(short._capacity._reserve, size=1)
    assert bring(short) == Answer.SUCCESS
    wait_for(lambda: os.environ[plugin.ROOM] == "yes", "the filter of HTTP is told")
    assert "images are taken" in orthanc.warnings[1]


def test_nothing_comes_in_over_http_while_nobody_can_look_whether_there_is_room(
    orthanc: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = register(orthanc)
    assert os.environ[plugin.ROOM] == "yes"
    monkeypatch.delattr(front._capacity, "_reserve")
    wait_for(lambda: os.environ[plugin.ROOM] == "no", "the filter of HTTP is told")


def test_a_gigabyte_stays_free_unless_orthanc_says_otherwise(orthanc: StandIn) -> None:
    orthanc.settings = None
    assert register(orthanc)._capacity._reserve.size == 1 << 30


def test_a_disk_that_is_away_is_left_to_orthanc(orthanc: StandIn, tmp_path: Path) -> None:
    orthanc.storage, orthanc.reserve = tmp_path / "not-mounted", 1 << 30
    assert bring(register(orthanc)) == Answer.SUCCESS


@dataclass(kw_only=True)
class Incoming(Received):
    """One of a study."""

    study_instance_uid: str

    def GetInstanceSimplifiedJson(self) -> str:  # noqa: N802, D102 - Orthanc's name
        return json.dumps({"PatientID": NAME, "StudyInstanceUID": self.study_instance_uid})


def test_a_full_queue_turns_new_studies_away_and_lets_those_end_that_have_begun(
    orthanc: StandIn, settings: Path, ledger: Ledger
) -> None:
    settings.write_text(
        f'{settings.read_text()}[intake]\nfull_at_cases = 1\nwhen_full = "refuse"\n'
    )
    _wait(ledger)
    orthanc.resources[f"/studies/{study_handle(NAME, '1.2')}"] = {}
    front = _before_ct1(orthanc)
    begun, new = (Incoming(study_instance_uid=uid, ae_title="CT1") for uid in ("1.2", "1.3"))
    wait_for(
        lambda: front.on_c_store(new) == Answer.OUT_OF_RESOURCES, "the plugin has seen the queue"
    )
    assert front.on_c_store(begun) == Answer.SUCCESS
    assert os.environ[plugin.ROOM] == "yes", "results of the worker, which empty the queue"
    assert "images of new studies are turned away" in orthanc.warnings[0]


def test_a_queue_that_can_not_be_looked_at_turns_nothing_away(
    orthanc: StandIn, settings: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "LOOK_SECONDS", 0.05)
    settings.write_text(
        f'{settings.read_text()}[intake]\nfull_at_cases = 1\nwhen_full = "refuse"\n'
    )
    _wait(ledger)
    front, new = _before_ct1(orthanc), Incoming(study_instance_uid="1.3", ae_title="CT1")
    wait_for(
        lambda: front.on_c_store(new) == Answer.OUT_OF_RESOURCES, "the plugin has seen the queue"
    )
    front._appliance.engine.dispose()
    (settings.parent / "clic-edge.sqlite").unlink()
    wait_for(lambda: front.on_c_store(new) == Answer.SUCCESS, "the plugin has seen that it is gone")


def _before_ct1(orthanc: StandIn) -> Front:
    front = register(orthanc)
    front._connected = lambda: frozenset({"192.0.2.7"})
    return front


def _wait(ledger: Ledger) -> None:
    one = Admission(case_id="waits", study_id="waits", pipeline="hippocampus", series_ids=("one",))
    ledger.cases.admit(one)


def test_a_large_file_is_left_to_the_worker(orthanc: StandIn, ledger: Ledger) -> None:
    orthanc.resources["/instances/instance-1/attachments/dicom/size"] = str(1 << 40).encode()
    del orthanc.resources["/instances/instance-1/file"]
    front = register(orthanc)
    front.on_change(STABLE_STUDY, 1, STUDY)
    wait_for(lambda: bool(orthanc.warnings), "the plugin says so")
    assert "left-to-worker" in orthanc.warnings[0]
    assert ledger.cases.of_study(STUDY) == ()
    assert _ask(front, "GET").status == 503


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("tag", [0x00081115, 0x00091001])
def test_sequences_too_deep_for_orthanc_are_turned_away_and_the_sender_is_told(
    orthanc: StandIn, tag: int, *, defined: bool
) -> None:
    front = register(orthanc)

    def answer(depth: int) -> int:
        nested = {tag: hostile_files.nested(depth, tag, defined=defined)}
        content = hostile_files.part10(hostile_files.image(1) | nested)
        return bring(front, content=content)

    assert [answer(depth) for depth in (31, 32, 33, 5000)] == [0, 0, 0xC000, 0xC000]
    assert "0xC000" in orthanc.warnings[-1]
    assert bring(front, content=b"no DICOM at all") == Answer.SUCCESS


def test_images_are_turned_away_where_nothing_can_be_written(
    orthanc: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc.storage = tmp_path
    front = register(orthanc)
    assert bring(front) == Answer.SUCCESS
    read_only = SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=1 << 40, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert bring(front) == Answer.OUT_OF_RESOURCES


def test_who_tried_to_send_is_written_down_whatever_was_wrong_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked = threading.Semaphore(0)

    def fail(_front: Front) -> None:
        looked.release()
        raise ValueError

    monkeypatch.setattr(plugin, "_NOTES_SECONDS", 0.001)
    monkeypatch.setattr(Front, "_door", property(fail))
    register(StandIn(settings=tmp_path / "none.toml"))
    assert all(looked.acquire(timeout=60) for _ in range(3))
