"""One of several worker hosts dies, or stands still and wakes.

Each worker is a process in a host name and a process table of its own, so that no other can see
whether it still runs: only its beats tell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.bench import NOT_HELD_UP, WHEN_BACK, Outcome, account
from faults.boxes import Running, killable_postgres
from servers import PostgresServer, kill, require, wait_for
from sites import Site, SiteOptions, hippocampus_study, running_site

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.servers, pytest.mark.faults]

SCRIPT = Path(__file__).with_name("held_at.py")
STEPS = {"de-identified": "in inference", "half sent": "half delivered"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[PostgresServer, Running[None]]]:
    """Return a PostgreSQL of this module's own, to be killed."""
    with killable_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, postgres: tuple[PostgresServer, Running[None]]
) -> Iterator[Site]:
    options = SiteOptions(database=postgres[0].url, reconcile_seconds=5, concurrent_cases=1)
    with running_site(tmp_path_factory.mktemp("hosts") / "site", options) as site:
        yield site


@contextmanager
def host(site: Site, name: str, *, lost_after: int = 3) -> Iterator[int]:
    """Run a worker on a host of its own; yield its process, as the machine knows it."""
    text = site.settings.read_text().replace(f"metrics_port = {site.metrics_port}", "")
    text = text.replace("[worker]", f"[worker]\nlost_after_seconds = {lost_after}")
    settings = site.settings.with_name(f"{name}.toml")
    settings.write_text(text.replace("[appliance]", f'[appliance]\nname = "{name}"'))
    holds = site.folder / f"holds-{name}"
    holds.mkdir(exist_ok=True)
    begin = f'hostname {name}; exec "{sys.executable}" "{SCRIPT}" "{settings}" "{holds}"'
    namespaces = ["--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with (site.folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [require("unshare"), *namespaces, "sh", "-c", begin],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=site.environment,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _is_there(site, name), f"{name} beats")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield int(children[0])
    finally:
        kill(process)


def _is_there(site: Site, name: str) -> bool:
    signs = site.ledger.workers.all()
    return any(one.run.name == name and one.run.host == name and one.beats > 1 for one in signs)


def _beats(site: Site, name: str) -> int:
    return next(one.beats for one in site.ledger.workers.all() if one.run.name == name)


def _running(site: Site, name: str) -> int:
    return next(one.running for one in site.ledger.workers.all() if one.run.name == name)


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_host_dies(site: Site, number: int, told: Callable[[Outcome], None]) -> None:
    point, step = list(STEPS.items())[number - 1]
    first, others = f"dies-{number}", [f"lives-{number}-{one}" for one in "bc"]
    with ExitStack() as hosts:
        pid = hosts.enter_context(host(site, first))
        (site.folder / f"holds-{first}" / point).touch()
        held = site.send(hippocampus_study(700 + number))
        sign = site.folder / f"holds-{first}" / f"{point}.held"
        wait_for(sign.exists, "the case is held")
        for name in others:
            hosts.enter_context(host(site, name))
        os.kill(pid, signal.SIGKILL)
        studies = [held, *(site.send(hippocampus_study(710 + 10 * number + n)) for n in range(3))]
        for study in studies:
            site.await_case(study, CaseState.DELIVERED)
        found = account(site, studies)
    told(
        found.outcome(
            fault="SIGKILL to one of three worker hosts",
            where=f"a case is {step}",
            others=NOT_HELD_UP,
            note="another worker takes the case over; `worker-replaced` in the audit trail",
        )
    )


def test_a_worker_host_stands_still_and_wakes(site: Site, told: Callable[[Outcome], None]) -> None:
    with ExitStack() as hosts:
        pid = hosts.enter_context(host(site, "frozen"))
        (site.folder / "holds-frozen" / "half sent").touch()
        held = site.send(hippocampus_study(750))
        sign = site.folder / "holds-frozen" / "half sent.held"
        wait_for(sign.exists, "the case is held")
        hosts.enter_context(host(site, "awake"))
        os.kill(pid, signal.SIGSTOP)
        studies = [held, site.send(hippocampus_study(751))]
        for study in studies:  # the other one too, while this host stands still
            site.await_case(study, CaseState.DELIVERED)
        before = _beats(site, "frozen")
        sign.unlink()
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: _beats(site, "frozen") > before + 6, "it beats again, and has gone on")
        wait_for(lambda: not _running(site, "frozen"), "it has nothing in hand")
        found = account(site, studies)
    told(
        found.outcome(
            fault="A worker host stands still (SIGSTOP), and wakes when another has its case",
            where="a case is half delivered",
            others=NOT_HELD_UP,
            note="what it was about to send has the same UID and the same bytes",
        )
    )


def test_a_database_is_away_for_longer_than_a_worker_may_be_silent(
    site: Site,
    postgres: tuple[PostgresServer, Running[None]],
    told: Callable[[Outcome], None],
) -> None:
    names, studies, signs = ("outage-a", "outage-b"), list[str](), list[Path]()
    logs = [site.folder / f"{name}.log" for name in names]
    with ExitStack() as hosts:
        for number, name in enumerate(names):
            hosts.enter_context(host(site, name, lost_after=10))
            holds = site.folder / f"holds-{name}"
            (holds / "half sent").touch()
            signs.append(holds / "half sent.held")
            studies.append(site.send(hippocampus_study(760 + number)))
            wait_for(signs[-1].exists, f"{name} holds a case")  # the other one has no place left
        postgres[1].kill()
        beats_missed = 8  # six are ten seconds
        wait_for(
            lambda: all(log.read_text().count("beat-failed") >= beats_missed for log in logs),
            "both have missed more beats than they may",
        )
        other = site.send(hippocampus_study(770))
        postgres[1].start()
        for sign in signs:
            sign.unlink()
        for study in (*studies, other):
            site.await_case(study, CaseState.DELIVERED)
        found = account(site, [*studies, other])
    audit = [site.ledger.records.audit(site.cases(study)[-1].case_id) for study in studies]
    assert not [event.detail for events in audit for event in events if "silent" in event.detail]
    told(
        found.outcome(
            fault="The database is away for longer than a worker may be silent",
            where="two worker hosts have a case half delivered",
            others=WHEN_BACK,
            note="each worker keeps its case",
        )
    )
