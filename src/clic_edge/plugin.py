"""The appliance inside Orthanc: tells of stable studies, and shows what became of them.

It never infers, never touches pixels, and never keeps Orthanc waiting: a callback puts the
study's identifier on a list in memory and returns. What is lost with that list (a crash, a
database that is away) the worker finds in Orthanc's change log.

It refuses images of senders whom nobody has allowed, and turns images away before a disk is full:
Orthanc 1.10 answers success to a file whose last bytes found no room, and gives no answer at all
where nothing can be written. So it does with new studies while the queue is full, where the site
says so.

Orthanc's plugin for Python 4.0 never frees what it hands to a filter of HTTP requests (decision
0039), so that filter is `orthanc-plugins/room.lua`, which is told here whether there is room.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Protocol

from clic_edge.app import Appliance
from clic_edge.dicom.nesting import is_deeper
from clic_edge.domain.constancy import PHANTOM_AE_TITLE
from clic_edge.errors import ClicEdgeError, Refusal, Transient
from clic_edge.pacs.connected import connected
from clic_edge.pacs.guarding import ROUTE as GUARD_ROUTE
from clic_edge.pacs.guarding import Guarded, is_guarded
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pipeline.capacity import Capacity, Reserve, study_handle
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.senders import Answer, Doorkeeper
from clic_edge.pipeline.status import study_status

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTE = "/clic-edge/studies/([0-9a-f-]{44})"
ROOM = "CLIC_EDGE_HAS_ROOM"
"""In this process's environment, for `room.lua`; without ``yes`` nothing comes in over HTTP."""
UNKNOWN_RESOURCE = 17  # Orthanc's error code
WAITING_STUDIES = 100_000
DEEPEST_STORED = 32
"""Sequences in each other: Orthanc 1.10 makes JSON of forty, and without its guard ends over fifty."""
LOOK_SECONDS = 2.0
"""How often the ledger is asked whether the queue is full."""
LARGEST_FILE = 256 << 20
"""Bytes that the plugin takes from Orthanc to read a header."""
_OURSELVES = tuple((PHANTOM_AE_TITLE, address) for address in ("127.0.0.1", "::1"))
"""Who sends phantoms: this machine itself."""
_NOTES_SECONDS = 1.0
"""Between two looks at who tried to send."""
_ROOM_SECONDS = 0.25
"""Between two looks at the disks: what can come by then is a small part of what is kept free."""

BUTTON = """
$('#study').live('pagebeforecreate', function() {
  var button = $('<a>').attr('data-role', 'button').attr('href', '#').attr('data-icon', 'gear')
    .attr('data-theme', 'e').text('clic-edge: analyse now');
  var shown = $('<pre id="clic-edge-status" style="white-space:pre-wrap">');
  var url = function() { return '../clic-edge/studies/' + $.mobile.pageData.uuid; };
  var show = function(status) {
    shown.text(status.cases.map(function(one) {
      var reason = one.case.reason ? ': ' + one.case.reason : '';
      return one.case.pipeline + ' is ' + one.case.state + reason;
    }).join('\\n') || 'no case yet');
  };
  button.insertAfter($('#study-info'));
  shown.insertAfter(button);
  button.click(function(event) {
    event.preventDefault();
    $.ajax({url: url(), type: 'POST', dataType: 'json', success: show,
            error: function(answer) { shown.text(answer.responseText); }});
  });
  $('#study').live('pageshow', function() { $.getJSON(url(), show); });
});
"""


class ChangeTypes(Protocol):
    """Orthanc's kinds of events, as far as we use them."""

    STABLE_STUDY: int
    ORTHANC_STOPPED: int


class OrthancModule(Protocol):
    """Orthanc's Python module, as far as we use it; tests hand in a stand-in."""

    ChangeType: ChangeTypes
    OrthancException: type[Exception]

    def GetConfiguration(self) -> str: ...  # noqa: N802, D102 - Orthanc's name
    def RestApiGet(self, path: str) -> bytes: ...  # noqa: N802, D102 - as above
    def LogWarning(self, message: str) -> None: ...  # noqa: N802, D102 - as above
    def ExtendOrthancExplorer(self, script: str) -> None: ...  # noqa: N802, D102 - as above
    def RegisterOnChangeCallback(self, callback: object) -> None: ...  # noqa: N802, D102 - as above
    def RegisterRestCallback(self, route: str, callback: object) -> None: ...  # noqa: N802, D102 - as above
    def RegisterIncomingCStoreInstanceFilter(self, callback: object) -> None: ...  # noqa: N802, D102 - as above


class ReceivedInstance(Protocol):
    """An instance that comes by C-STORE, as far as we look at it."""

    def GetInstanceRemoteAet(self) -> str: ...  # noqa: N802, D102 - Orthanc's name
    def GetInstanceSize(self) -> int: ...  # noqa: N802, D102 - Orthanc's name
    def GetInstanceData(self) -> bytes: ...  # noqa: N802, D102 - as above
    def GetInstanceSimplifiedJson(self) -> str: ...  # noqa: N802, D102 - as above


class RestOutput(Protocol):
    """What Orthanc hands to a REST callback, as far as we use it."""

    def AnswerBuffer(self, body: str, mime: str) -> None: ...  # noqa: N802, D102 - Orthanc's name
    def SendHttpStatus(self, status: int, body: str, size: int) -> None: ...  # noqa: N802, D102 - as above
    def SendMethodNotAllowed(self, allowed: str) -> None: ...  # noqa: N802, D102 - as above


class InnerRest:
    """Orthanc's REST API from inside, for `OrthancArchive`; it reads, the worker writes."""

    def __init__(self, orthanc: OrthancModule) -> None:
        self._orthanc = orthanc

    def get(self, path: str) -> bytes | None:
        """Return the answer's body, or None when Orthanc knows no such resource."""
        try:
            body = self._orthanc.RestApiGet(path)
        except self._orthanc.OrthancException as error:
            if error.args[0] == UNKNOWN_RESOURCE:
                return None
            raise Transient("archive-unreachable", "Orthanc did not answer its plugin.") from error
        return bytes(body)

    def opening(self, instance_id: str, most: int) -> bytes | None:
        """Return the first bytes of a file; raises Transient ``left-to-worker`` for a large one.

        Orthanc hands a file to its plugin only whole, so that a large one would be in memory twice.
        """
        size = self.get(f"/instances/{instance_id}/attachments/dicom/size")
        if size is None:
            return None
        if int(size) > LARGEST_FILE:
            raise Transient("left-to-worker", "The study has large files; the worker takes it in.")
        body = self.get(f"/instances/{instance_id}/file")
        return None if body is None else body[:most]

    def post(self, path: str, body: bytes) -> bytes | None:
        """Refuse: nothing is written from inside Orthanc."""
        raise NotImplementedError


class Front:
    """The callbacks; the appliance opens at its first use, and again after a failure."""

    def __init__(
        self, orthanc: OrthancModule, settings_path: Path, reserve: Reserve, *, dicom_port: int
    ) -> None:
        self._orthanc = orthanc
        self._settings_path = settings_path
        self._ended = threading.Event()
        self._capacity = Capacity(reserve, self._warn)
        self._inner = InnerRest(orthanc)
        self._stable: Queue[str] = Queue(WAITING_STUDIES)
        self._connected = partial(connected, dicom_port)
        self._tell_of_room()  # before Orthanc listens
        for work in (self._work_for_ever, self._write_down_for_ever, self._watch_room_for_ever):
            threading.Thread(target=work, daemon=True).start()

    @cached_property
    def _appliance(self) -> Appliance:
        return Appliance.open(self._settings_path)

    @property
    def _archive(self) -> OrthancArchive:
        return OrthancArchive(self._inner, self._appliance.limits)

    @cached_property
    def _door(self) -> Doorkeeper:
        appliance = self._appliance
        return Doorkeeper(
            lambda: appliance.ledger.senders,
            listed=(*appliance.settings.senders.callers, *_OURSELVES),
            takes_all=appliance.settings.senders.unknown == "take",
        )

    def on_change(self, change: int, _level: int, resource: str) -> None:
        """Remember a stable study; returns at once."""
        if change == self._orthanc.ChangeType.ORTHANC_STOPPED:
            self.end()
        if change == self._orthanc.ChangeType.STABLE_STUDY:
            try:
                self._stable.put_nowait(resource)
            except Full:
                self._warn("the list of studies is full; the worker will find the rest")

    def end(self) -> None:
        """Let the threads end: Python must not be taken down under them."""
        self._ended.set()
        with suppress(Full):
            self._stable.put_nowait("")

    def on_c_store(self, instance: ReceivedInstance) -> int:
        """Return the status for an instance that comes.

        Not authorized where nobody has allowed its sender; out of resources where room is short,
        or the queue is full; not understood where sequences lie so deep in each other that an
        Orthanc without its guard, asked for them over HTTP, would end.
        """
        if not self._capacity.has_room():
            return Answer.OUT_OF_RESOURCES
        try:
            title = instance.GetInstanceRemoteAet().strip()
            known = self._door.has_just_let_in(title)
            answer = Answer.SUCCESS if known else self._door.answer(title, *self._connected())
        except Exception as error:  # noqa: BLE001 - the plugin: Orthanc goes on whatever happens
            name = error.code if isinstance(error, ClicEdgeError) else type(error).__name__
            self._warn(f"nobody knows who may send ({name}); images are turned away (0xA700)")
            return Answer.OUT_OF_RESOURCES
        if answer is not Answer.SUCCESS:
            return answer
        if instance.GetInstanceSize() > LARGEST_FILE:
            is_taken = self._capacity.takes_new_studies
        elif is_deeper(bytes(instance.GetInstanceData()), DEEPEST_STORED):
            self._warn("an instance with sequences too deep in each other is turned away (0xC000)")
            return Answer.NOT_UNDERSTOOD
        else:
            is_taken = self._capacity.takes_new_studies or self._is_begun(instance)
        return Answer.SUCCESS if is_taken else Answer.OUT_OF_RESOURCES

    def _is_begun(self, instance: ReceivedInstance) -> bool:
        """Whether Orthanc holds images of its study: half a study helps nobody."""
        tags = json.loads(instance.GetInstanceSimplifiedJson())
        names = (str(tags.get(name) or "") for name in ("PatientID", "StudyInstanceUID"))
        try:
            return self._inner.get(f"/studies/{study_handle(*names)}") is not None
        except Transient:
            return True

    def on_request(self, output: RestOutput, _uri: str, **request: object) -> None:
        """Answer GET with the state of a study's cases; POST runs them now."""
        method, groups = request["method"], request["groups"]
        if method not in ("GET", "POST") or not isinstance(groups, tuple):
            output.SendMethodNotAllowed("GET,POST")
            return
        try:
            if method == "POST":
                self._take_in(groups[0], expedited=True)
            output.AnswerBuffer(self._status(groups[0]), "application/json")
        except Refusal as refusal:
            _answer(output, 404, refusal.sentence)
        except ClicEdgeError as error:
            _answer(output, 503, error.sentence)
        except Exception as error:  # noqa: BLE001 - the plugin: Orthanc goes on whatever happens
            self._warn(f"{method} failed with {type(error).__name__}")
            _answer(output, 503, "The ledger cannot be reached; no study is lost by that.")

    def _status(self, study_id: str) -> str:
        appliance = self._appliance
        status = study_status(
            study_id, appliance.pipelines, archive=self._archive, ledger=appliance.ledger
        )
        return json.dumps(asdict(status), default=str)

    def _work_for_ever(self) -> None:
        while not self._ended.is_set():
            self._look()
            looked = time.monotonic()
            while (left := looked + LOOK_SECONDS - time.monotonic()) > 0:
                with suppress(Empty):
                    study_id = self._stable.get(timeout=left)
                    if self._ended.is_set():
                        return
                    self._try_to_take_in(study_id)

    def _try_to_take_in(self, study_id: str) -> None:
        try:
            self._take_in(study_id, expedited=False)
        except Exception as error:  # noqa: BLE001 - the plugin: Orthanc goes on whatever happens
            # Its text may quote a dataset, or a URL; the worker finds the study by itself.
            name = error.code if isinstance(error, ClicEdgeError) else type(error).__name__
            self._warn(f"a study could not be queued ({name}); the worker will find it")

    def _look(self) -> None:
        try:
            appliance = self._appliance
            self._capacity.look(appliance.ledger, appliance.settings.intake, datetime.now(UTC))
        except Exception:  # noqa: BLE001 - as above; whoever takes in the next study says why
            self._capacity.let_in()

    def _write_down_for_ever(self) -> None:
        while not self._ended.wait(_NOTES_SECONDS):
            try:
                self._door.write_down()
            except Exception:  # noqa: BLE001, S112 - the plugin: the next instance says what is wrong
                continue

    def _watch_room_for_ever(self) -> None:
        while not self._ended.wait(_ROOM_SECONDS):
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        """Say whether requests are let in that bring instances.

        A full queue turns nothing away here: it is the worker who brings results, to empty it.
        """
        try:
            has_room = self._capacity.has_room()
        except Exception:  # noqa: BLE001 - the plugin: nothing comes in while nobody can look
            has_room = False
        os.environ[ROOM] = "yes" if has_room else "no"

    def _take_in(self, study_id: str, *, expedited: bool) -> None:
        appliance = self._appliance
        intake(
            study_id,
            appliance.pipelines,
            archive=self._archive,
            ledger=appliance.ledger,
            expedited=expedited,
        )

    def _warn(self, sentence: str) -> None:
        self._orthanc.LogWarning(f"clic-edge: {sentence}")


def _guard(orthanc: OrthancModule) -> Callable[..., None]:
    """Return what tells whether this very process is guarded; where it is not, the log has it."""
    guarded = is_guarded(Path("/proc/self/maps").read_text(errors="replace"))
    if not guarded:
        orthanc.LogWarning(
            "clic-edge: nothing bounds how deep sequences may lie in each other: whoever reaches "
            "the port can end Orthanc; `clic-edge check` says what to do"
        )
    answer = Guarded(nesting=guarded).model_dump_json()

    def on_guard(output: RestOutput, _uri: str, **request: object) -> None:
        if request["method"] == "GET":
            output.AnswerBuffer(answer, "application/json")
        else:
            output.SendMethodNotAllowed("GET")

    return on_guard


def _answer(output: RestOutput, status: int, sentence: str) -> None:
    output.SendHttpStatus(status, sentence, len(sentence.encode()))


def register(orthanc: OrthancModule) -> Front:
    """Register the callbacks with Orthanc, which is handed in so that a test can stand in for it."""
    configuration = json.loads(orthanc.GetConfiguration())
    settings = configuration.get("ClicEdge", {}).get("Settings", "/etc/clic-edge/clic-edge.toml")
    port = int(configuration.get("DicomPort", 4242))
    front = Front(orthanc, Path(settings), Reserve.of(configuration), dicom_port=port)
    orthanc.RegisterOnChangeCallback(front.on_change)
    orthanc.RegisterIncomingCStoreInstanceFilter(front.on_c_store)
    orthanc.RegisterRestCallback(ROUTE, front.on_request)
    orthanc.RegisterRestCallback(GUARD_ROUTE, _guard(orthanc))
    orthanc.ExtendOrthancExplorer(BUTTON)
    return front
