"""The appliance's pages on a free port: settings, ledger, archive and web server are real."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgers import make_tables
from logins import ADMINISTRATOR, CHEAP, add_account, signed_in
from servers import wait_for
from sites import ROOT

from clic_edge.app import Appliance
from clic_edge.cli.web import listening, server_of
from clic_edge.domain.account import Role
from clic_edge.ledger.cases import Admission, CaseStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx
    from servers import OrthancServer

VIEWER = ROOT / "build" / "viewer"
"""Where `make viewer` puts the viewer in a source tree."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """A running web server."""

    url: str
    appliance: Appliance

    def browser(self) -> AbstractContextManager[httpx.Client]:
        """Return a browser in which the administrator has logged in."""
        return signed_in(self.url)

    def admit(self, study_id: str) -> str:
        """Write a case of a study to the ledger; return its id."""
        admission = Admission(
            case_id=f"case-of-{study_id[:8]}",
            study_id=study_id,
            pipeline="hippocampus",
            series_ids=("one",),
        )
        return CaseStore(self.appliance.engine).admit(admission).case_id


@contextmanager
def served(
    folder: Path, orthanc: OrthancServer, *, viewer: Path = VIEWER, more: str = ""
) -> Iterator[Pages]:
    """Serve the pages of an appliance over an archive, its state in a folder."""
    appliance = open_appliance(folder, orthanc, viewer=viewer, more=more)
    with serving(appliance) as url:
        yield Pages(url=url, appliance=appliance)


def open_appliance(
    folder: Path, orthanc: OrthancServer, *, viewer: Path = VIEWER, more: str = ""
) -> Appliance:
    """Write settings, with `more` in `[orthanc]`, and a ledger that knows an administrator."""
    text = f'[orthanc]\nurl = "{orthanc.url}"\n{more}\n[web]\nviewer = "{viewer}"\n'
    return _opened(folder, text)


def appliance_in(folder: Path, *, web: str) -> Appliance:
    """Write settings, `web` in `[web]`, without an archive, and the same ledger."""
    return _opened(folder, f'[orthanc]\nurl = "http://127.0.0.1:9"\n[web]\n{web}\n')


def _opened(folder: Path, text: str) -> Appliance:
    settings = folder / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "{folder}"\npipelines = "{ROOT}/configs/pipelines"\n'
        f'models = "{ROOT}/models"\nmodel_keys = "{ROOT}/configs/model-keys"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        f'{text}[destinations.pacs]\nkind = "folder"\npath = "out"\n'
    )
    appliance = Appliance.open(settings)
    make_tables(appliance.engine)
    _add_administrator(appliance)
    return appliance


def _add_administrator(appliance: Appliance) -> None:
    if not appliance.ledger.accounts.find(ADMINISTRATOR):
        add_account(appliance.ledger, ADMINISTRATOR, Role.ADMINISTRATOR)


@contextmanager
def serving(appliance: Appliance) -> Iterator[str]:
    """Serve an appliance's pages in a thread, to an administrator; yield their address."""
    _add_administrator(appliance)
    server = server_of(appliance, CHEAP)
    with listening(appliance.settings.web, port=0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        wait_for(lambda: server.started, "the pages are served")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
