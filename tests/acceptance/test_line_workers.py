"""Two workers share one PostgreSQL: what one of them held when it froze, the other delivers, once."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from servers import PostgresServer, kill, wait_for
from sites import Site, SiteOptions, hippocampus_study, ours_in, running_site

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Site]:
    engine = sa.create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE boxes"))
    engine.dispose()
    database = postgres.url.rpartition("/")[0] + "/boxes"
    folder = tmp_path_factory.mktemp("boxes") / "site"
    with running_site(folder, SiteOptions(database=database)) as site:
        text = site.settings.read_text().replace(f"metrics_port = {site.metrics_port}", "")
        text = text.replace("[worker]", "[worker]\nlost_after_seconds = 2")
        for name in ("a", "b"):
            named = text.replace("[appliance]", f'[appliance]\nname = "{name}"')
            site.settings.with_name(f"{name}.toml").write_text(named)
        yield site


@contextmanager
def boxed(site: Site, name: str) -> Iterator[int]:
    script = Path(__file__).with_name("boxed_worker.py")
    settings = site.settings.with_name(f"{name}.toml")
    with site.worker(script=(str(script), str(settings), str(site.folder))) as process:
        try:
            yield process.pid
        finally:
            kill(process)


def sent_by(site: Site, name: str) -> list[str]:
    path = site.folder / f"sent-{name}"
    return path.read_text().split() if path.exists() else []


def test_what_a_frozen_worker_was_about_to_send_another_sends_once(site: Site) -> None:
    assert sys.platform == "linux"
    hold = site.folder / "hold-a"
    hold.touch()
    # Workers, who look often, would make cases of a half-sent study.
    study_id = site.send(hippocampus_study(601))
    with boxed(site, "a") as first:
        wait_for((site.folder / "held-a").exists, "the first worker is about to send")
        os.kill(first, signal.SIGSTOP)
        with boxed(site, "b"):
            case = site.await_case(study_id, CaseState.DELIVERED)
            hold.unlink()
            os.kill(first, signal.SIGCONT)
            wait_for(
                lambda: '"case-elsewhere"' in site.log.read_text(), "the first asks before it sends"
            )
    assert sent_by(site, "a") == []
    assert sorted(sent_by(site, "b")) == sorted(ours_in(site.pacs, study_id))
    assert site.cases(study_id) == (case,)
    actions = [one.action for one in site.ledger.records.audit(case.case_id)]
    assert (actions.count("delivered"), actions[-1]) == (1, "delivered")
