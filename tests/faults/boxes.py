"""The appliance of a scenario: real processes that are killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx
import sqlalchemy as sa
from factories import Stack, make_datasets
from model_packages import known_labels, volume_of, write_package
from servers import (
    POSTGRES_BINARIES,
    OrthancOptions,
    OrthancServer,
    PostgresServer,
    free_port,
    kill,
    orthanc_server,
    postgres_server,
    require,
    wait_for,
)
from sites import (
    CASE_SECONDS,
    Site,
    SiteOptions,
    appliance_orthanc,
    patient,
    pipeline_toml,
    plan_site,
    study_handle,
)

from clic_edge.app import Appliance
from clic_edge.domain.case import CaseState
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.pipeline.reconcile import CURSOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pydicom.dataset import Dataset

_T = TypeVar("_T")
BESIDE = "beside"
"""The pipeline of studies with which nothing is wrong."""
HELD_AT = Path(__file__).with_name("held_at.py")


class Running(Generic[_T]):
    """A process that is killed (SIGKILL) and started again; `now` is what runs."""

    def __init__(self, start: Callable[[], AbstractContextManager[_T]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self.now: _T

    def start(self) -> None:
        """Return when it answers."""
        self.now = self._stack.enter_context(self._start())

    def kill(self) -> None:
        """Kill it; nothing where it does not run."""
        self._stack.close()


@dataclass(frozen=True, kw_only=True)
class Box:
    """An appliance and its PACS; `held` files let its worker wait at a point."""

    site: Site
    holds: Path
    orthanc: Running[OrthancServer]
    worker: Running[subprocess.Popen[bytes]]
    web: Running[str]

    def send(self, number: int) -> str:
        """Send a small study that the light model takes; return Orthanc's handle of it."""
        return self.site.send(light_study(number))

    def send_beside(self, number: int) -> str:
        """Send one of another patient, for another pipeline and another destination."""
        return self.site.send(light_study(number, BESIDE))

    def deliver_beside(self, number: int) -> str:
        """Send such a study and return its handle when it is delivered: it is not held up."""
        study_id = self.send_beside(number)
        self.await_ends(study_id)
        return study_id

    def hold(self, point: str, number: int) -> None:
        """Let the case of study `number` wait at a point, when it comes there."""
        asked = self.holds / "asked"
        asked.write_text(study_handle(light_study(number)[0]))
        asked.replace(self.holds / point)  # at once: nobody reads a part of it

    @contextmanager
    def held(self, point: str, number: int) -> Iterator[str]:
        """Send a study, and yield its handle while its case waits at a point of `held_at`."""
        self.hold(point, number)
        study_id = self.send(number)
        sign = self.holds / f"{point}.held"
        wait_for(sign.exists, f"the case comes to {point}", CASE_SECONDS)
        yield study_id
        sign.unlink(missing_ok=True)  # the scenario may have let it go on

    def let_go(self, point: str) -> None:
        """Let the case that is held at a point go on."""
        (self.holds / f"{point}.held").unlink()

    def await_taken_in(self, study_id: str) -> None:
        """Wait until the worker has read all that Orthanc's log tells of a study."""
        orthanc, records = self.orthanc.now, self.site.ledger.records
        wait_for(lambda: orthanc.get(f"/studies/{study_id}")["IsStable"], "the study is stable")
        last = orthanc.get("/changes?last")["Last"]
        wait_for(lambda: records.cursor(CURSOR) >= last, "the log is read", CASE_SECONDS)

    def await_hindered(self, study_id: str, code: str) -> None:
        """Wait until a case of the study is hindered by what has the code."""
        wait_for(
            lambda: code in {case.code for case in self.site.cases(study_id)},
            f"a case says {code}",
            CASE_SECONDS,
        )

    def await_ends(self, *studies: str, state: CaseState = CaseState.DELIVERED) -> None:
        """Wait until each study has a case in the state, and none that has not ended."""
        for study_id in studies:
            self.site.await_case(study_id, state)
            wait_for(
                lambda of=study_id: all(case.state.is_end for case in self.site.cases(of)),
                "every case of the study ends",
                CASE_SECONDS,
            )

    def health(self) -> Mapping[str, str]:
        """Return what the pages say of archive and ledger."""
        answer = httpx.get(f"{self.web.now}/health", trust_env=False, timeout=60)
        return dict(answer.json())


def light_study(number: int, description: str = "Hippocampus") -> list[Dataset]:
    """Return study `number`, of which the light model finds something in no time."""
    stack = Stack(patient=patient(number), description=description)
    return make_datasets(stack, volume_of(known_labels()).voxels)


@contextmanager
def box(folder: Path, options: SiteOptions | None = None, *, also: str = "") -> Iterator[Box]:
    """Run a PACS; plan an appliance with the light model on it. The scenario starts its processes.

    The PACS is asked by C-FIND whether it holds what it accepted. `also` names a destination of
    `options` that gets the results too.
    """
    with orthanc_server(OrthancOptions(ae_title="PACS")) as pacs, ExitStack() as stack:
        site = plan_site(folder / "site", _light(folder, options or SiteOptions(), also), pacs)
        (folder / "holds").mkdir()
        script = (str(HELD_AT), str(site.settings), str(folder / "holds"))
        here = Box(
            site=site,
            holds=folder / "holds",
            orthanc=Running(lambda: appliance_orthanc(site)),
            worker=Running(lambda: site.worker(script=script)),
            web=Running(lambda: web(site)),
        )
        for process in (here.orthanc, here.worker, here.web):
            stack.callback(process.kill)
        engine = Appliance.open(site.settings).engine
        migrate(engine)
        engine.dispose()  # a disk that the ledger lies on can be taken away
        yield here


def _light(folder: Path, options: SiteOptions, also: str) -> SiteOptions:
    write_package(folder / "models" / "hippocampus")
    profile = folder / "asked.toml"
    profile.write_text('confirm = "c-find"\n')
    destinations = json.dumps(["pacs", also] if also else ["pacs"])
    return replace(
        options,
        pipelines={
            "hippocampus": pipeline_toml(destinations=destinations, quiet_seconds="1"),
            BESIDE: pipeline_toml(
                BESIDE, description=f'"^{BESIDE}$"', destinations='["web"]', quiet_seconds="1"
            ),
        },
        models=folder / "models",
        unsigned=True,
        pacs_more=f'profile = "{profile}"\n',
        more=f"[web]\nport = {free_port()}\n{options.more}",
    )


@contextmanager
def web(site: Site) -> Iterator[str]:
    """Run `clic-edge web`; yield its address."""
    url = f"http://127.0.0.1:{Appliance.open(site.settings).settings.web.port}"
    with (site.folder / "web.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "clic_edge", "-c", str(site.settings), "web"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=site.environment,
            start_new_session=True,
        )
    try:
        wait_for(lambda: process.poll() is not None or _answers(url), "the pages are served")
        assert process.poll() is None, (site.folder / "web.log").read_text()
        yield url
    finally:
        kill(process)


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", trust_env=False, timeout=60)
    except httpx.TransportError:
        return False
    return True


# --- PostgreSQL


@contextmanager
def killable_postgres() -> Iterator[tuple[PostgresServer, Running[None]]]:
    """Run a PostgreSQL; yield where it is, and what kills it and starts it again."""
    with postgres_server() as server, ExitStack() as stack:
        _kill_cluster(server)
        running = Running(lambda: _cluster(server))
        stack.callback(running.kill)
        running.start()
        yield server, running


@contextmanager
def _cluster(server: PostgresServer) -> Iterator[None]:
    as_user = [require("runuser"), "-u", "postgres", "--"] if os.geteuid() == 0 else []
    postgres = require("postgres", POSTGRES_BINARIES)
    settings = (
        "-k",
        str(server.folder),
        "-p",
        str(server.port),
        "-c",
        "listen_addresses=127.0.0.1",
    )
    with (server.folder / "postgres.log").open("ab") as log:
        process = subprocess.Popen(
            [*as_user, postgres, "-D", str(server.folder / "cluster"), *settings],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    engine = open_engine(server.url)
    try:
        wait_for(lambda: _connects(engine), "PostgreSQL answers")
        yield
    finally:
        engine.dispose()
        _kill_cluster(server)
        process.wait()


def _connects(engine: sa.Engine) -> bool:
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True


def _kill_cluster(server: PostgresServer) -> None:
    """Kill every process of the cluster at once, as a crash of the machine's kernel would."""
    postmaster = int((server.folder / "cluster" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    processes = (postmaster, *map(int, children))
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(_lives, processes)), "PostgreSQL is dead")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
