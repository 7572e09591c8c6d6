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
from faults.bench import NOT_HELD_UP, Outcome, account
from servers import kill, postgres_server, require, wait_for
from sites import Site, SiteOptions, hippocampus_study, running_site

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.servers, pytest.mark.faults]

SCRIPT = Path(__file__).with_name("held_at.py")
STEPS = {"de-identified": "in inference", "half sent": "half delivered"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hosts")
    with postgres_server() as postgres:
        options = SiteOptions(database=postgres.url, reconcile_seconds=5)
        with running_site(folder / "site", options) as site:
            yield site


@contextmanager
def host(site: Site, name: str) -> Iterator[int]:
    """Run a worker on a host of its own; yield its process, as the machine knows it."""
    text = site.settings.read_text().replace(f"metrics_port = {site.metrics_port}", "")
    text = text.replace("[worker]", "[worker]\nlost_after_seconds = 3")
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
        Outcome(
            fault="SIGKILL to one of three worker hosts",
            where=f"a case is {step}",
            end=found.end,
            lost=found.lost,
            doubled=found.doubled,
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
        for study in studies:
            site.await_case(study, CaseState.DELIVERED)
        before = _beats(site, "frozen")
        sign.unlink()
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: _beats(site, "frozen") > before + 6, "it beats again, and has gone on")
        wait_for(lambda: not _running(site, "frozen"), "it has nothing in hand")
        found = account(site, studies)
    told(
        Outcome(
            fault="A worker host stands still (SIGSTOP), and wakes when another has its case",
            where="a case is half delivered",
            end=found.end,
            lost=found.lost,
            doubled=found.doubled,
            note="what it was about to send has the same UID and the same bytes",
        )
    )
