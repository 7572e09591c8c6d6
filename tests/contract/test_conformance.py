"""What the conformance statement claims, held against what really goes over the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from lines import a_pipeline
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StudyRootQueryRetrieveInformationModelFind,
)
from results_in_code import make_results
from servers import orthanc_server
from sites import ROOT
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.config import Settings
from clic_edge.conformance.facts import Facts, facts
from clic_edge.conformance.statement import statement
from clic_edge.domain.result import ResultKind
from clic_edge.pacs.acceptor import acceptor
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.dimse import DimseDestination
from clic_edge.pacs.encoding import Encoding
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.reporting.document import Table

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.reporting.document import Document

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
PROFILE = """
results = ["seg", "sr", "summary"]
character_set = "ISO_IR 100"
rejection_notes = true
confirm = "c-find"
[compression]
seg = "deflated"
"""


def a_site(folder: Path) -> Facts:
    (folder / "ours.toml").write_text(PROFILE)
    told = {
        "appliance": {"destination_profiles": folder},
        "destinations": {
            "pacs": {
                "kind": "dimse",
                "host": "pacs",
                "port": 104,
                "called_ae_title": "PACS",
                "profile": "ours",
            },
            "unused": {"kind": "folder", "path": folder},
        },
    }
    settings = Settings.model_validate(told)
    return facts(settings, (a_pipeline(),), version="1", acceptor=None)


def table(document: Document, caption: str) -> Table:
    """Return the first table of a caption."""
    blocks = [block for section in document.sections for block in section.blocks]
    return next(one for one in blocks if isinstance(one, Table) and one.caption == caption)


def test_what_is_claimed_for_a_destination_is_what_is_proposed_to_it(tmp_path: Path) -> None:
    document = statement(a_site(tmp_path), day="2026-01-01")
    claimed = {
        (uid, syntax)
        for _, _, uid, syntaxes in table(document, "Storage").rows
        for syntax in syntaxes.split(", ")
    }
    proposed: set[tuple[str, str]] = set()

    def asked(event: evt.Event) -> None:
        for one in event.assoc.requestor.requested_contexts:
            proposed.update(
                (str(one.abstract_syntax), UID(uid).name) for uid in one.transfer_syntax
            )

    ae = AE("PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    stored = [(evt.EVT_REQUESTED, asked), (evt.EVT_C_STORE, lambda _event: 0)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=stored)
    assert server
    try:
        peer = DimsePeer(host="127.0.0.1", port=server.server_address[1], called_ae_title="PACS")
        encoding = Encoding(compression=((ResultKind.SEG, "deflated"),), character_set="ISO_IR 100")
        DimseDestination("pacs", peer, encoding).deliver(make_results())
    finally:
        server.shutdown()

    classes = {uid for uid, _ in proposed}
    assert proposed == {one for one in claimed if one[0] in classes}
    assert len(classes) == 2


def test_a_site_tells_what_it_sends_how_it_asks_and_no_destination_that_nobody_uses(
    tmp_path: Path,
) -> None:
    site = a_site(tmp_path)
    assert [one.name for one in site.recipients] == ["pacs"]
    kinds = [one.kind for one in site.recipients[0].sent]
    assert kinds == ["seg", "sr", "summary", "rejection", "assessment"]
    document = statement(site, day="2026-01-01")
    services = {uid: (scu, scp) for _, uid, scu, scp in table(document, "Network services").rows}
    assert services[StudyRootQueryRetrieveInformationModelFind] == ("yes", "no")
    assert table(document, "Specific Character Set of what is sent").rows == (
        ("pacs", "ISO_IR 100"),
    )


@pytest.mark.servers
def test_the_archive_takes_what_is_claimed_and_nothing_else() -> None:
    with orthanc_server() as server:
        peer = OrthancPeer(url=server.url)
        rest = HttpRest(peer)
        found = acceptor(rest, host="127.0.0.1")
        rest.close()
        assert (found.ae_title, found.port) == (server.ae_title, server.dicom_port)
        assert LABEL_MAP not in found.sop_classes, "Debian 12's does not know the class of 2024"
        assert "1.2.840.10008.1.2.4.90" in found.transfer_syntaxes
        ae = AE("ANYBODY")
        for uid in (LABEL_MAP, *found.sop_classes[:100]):
            ae.add_requested_context(uid)
        association = ae.associate("127.0.0.1", server.dicom_port, ae_title=server.ae_title)
        accepted = {str(one.abstract_syntax) for one in association.accepted_contexts}
        assert accepted == set(found.sop_classes[:100])
        association.release()


def test_the_command_writes_each_form_and_names_those_that_it_knows(tmp_path: Path) -> None:
    settings = str(ROOT / "configs" / "clic-edge.toml")

    def run(name: str) -> tuple[int, str]:
        words = ["-c", settings, "conformance", "--offline", "--out", str(tmp_path / name)]
        ran = CliRunner().invoke(app, words)
        return ran.exit_code, str(ran.exception or "")

    for name in ("statement.html", "statement.json", "statement.pdf"):
        assert run(name) == (0, "")
    assert json.loads((tmp_path / "statement.json").read_text())["recipients"][0]["name"] == "pacs"
    assert (tmp_path / "statement.pdf").read_bytes().startswith(b"%PDF-1.7")
    assert "was not asked" in (tmp_path / "statement.html").read_text()
    code, sentence = run("statement.doc")
    assert code == 1
    assert ".html, .json, .pdf" in sentence
