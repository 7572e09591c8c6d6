"""Readers' words reach the ledger and the PACS: by the link, by an edited SEG, by an SR."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pydicom
import pytest
from edits import edited_copy
from logins import ADMINISTRATOR, signed_in
from pages import serving
from servers import send_datasets, wait_for
from sites import (
    CASE_SECONDS,
    Site,
    SiteOptions,
    command_line,
    hippocampus_study,
    ours_in,
    roots_in,
    running_site,
    texts_of,
)

from clic_edge.app import Appliance
from clic_edge.domain.assessment import Reason, Source, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind
from clic_edge.pipeline import intervening
from clic_edge.results.assessment import (
    AssessmentReport,
    Statement,
    findings_in,
    read_assessment,
    write_assessment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.domain.assessment import Assessment

pytestmark = pytest.mark.servers
READER = "Kanarie^Radiolog"
URL = "https://clic-edge.hospital"


@dataclass(frozen=True, kw_only=True)
class Read:
    """A delivered case as its reader has it before them."""

    site: Site
    study_id: str
    case_id: str
    link: str
    client: httpx.Client

    def said(self) -> tuple[Assessment, ...]:
        """Return all that readers said, as the ledger has it."""
        return self.site.ledger.assessments.of_case(self.case_id)

    def results(self, modality: str) -> list[Dataset]:
        """Return what the PACS has of ours."""
        files = ours_in(self.site.pacs, self.study_id).values()
        found = [pydicom.dcmread(io.BytesIO(one)) for one in files]
        return [ds for ds in found if ds.Modality == modality]

    def await_word(self, source: Source) -> list[Assessment]:
        """Return what was said by a way, once it has come."""

        def came() -> list[Assessment]:
            return [one for one in self.said() if one.source is source]

        wait_for(came, f"an assessment by {source}", CASE_SECONDS)
        return came()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    options = SiteOptions(more=f'[web]\nurl = "{URL}"\n')
    notes = tmp_path_factory.mktemp("profiles") / "notes.toml"
    notes.write_text("rejection_notes = true\n")
    with running_site(tmp_path_factory.mktemp("read"), options) as site:
        before, pacs, after = site.settings.read_text().partition("[destinations.pacs]\n")
        site.settings.write_text(f'{before}{pacs}profile = "{notes}"\n{after}')
        # The worker, who looks often for what comes back, would make cases of a half-sent study.
        study_id = site.send(hippocampus_study(501))
        with site.worker():
            yield from _read(site, study_id)


def _read(site: Site, study_id: str) -> Iterator[Read]:
    case = site.await_case(study_id, CaseState.DELIVERED)
    (root,) = roots_in(site.pacs, study_id)
    (link,) = re.findall(rf"{URL}(/assess/\S+)", "\n".join(texts_of(root)))
    appliance = Appliance.open(site.settings)
    with serving(appliance) as url, signed_in(url) as client:
        yield Read(site=site, study_id=study_id, case_id=case.case_id, link=link, client=client)


def test_the_link_in_the_result_opens_a_page_that_stores_and_sends_what_is_said(
    read: Read,
) -> None:
    page = read.client.get(read.link)
    assert page.status_code == httpx.codes.OK
    fields = re.findall(r'name="(verdict [^"]+)"', page.text)
    anterior, posterior = dict.fromkeys(fields)
    assert "anterior" in page.text
    assert "mm3" in page.text
    form = {
        anterior: "accepted",
        posterior: "rejected",
        posterior.replace("verdict", "reason"): "boundary",
        "reader": READER,
    }
    stored = read.client.post(read.link, data=form)
    assert stored.status_code == httpx.codes.OK
    assert "PACS" in stored.text
    words = {one.finding: (one.verdict, one.reason, one.source) for one in read.said()}
    assert words["anterior"] == (Verdict.ACCEPTED, None, Source.PAGE)
    assert words["posterior"] == (Verdict.REJECTED, Reason.BOUNDARY, Source.PAGE)

    def in_pacs() -> list[Dataset]:
        return [ds for ds in read.results("SR") if read_assessment(ds)]

    wait_for(in_pacs, "the assessment is in the PACS", CASE_SECONDS)
    (sr,) = in_pacs()
    report = read_assessment(sr)
    assert report
    assert report.reader == READER
    assert sorted(one.verdict for one in report.statements) == ["accepted", "rejected"]
    again = read.client.post(read.link, data=form)
    assert "nothing changed" in again.text
    assert len(read.said()) == len(words)
    kept = read.site.ledger.deliveries.results(read.case_id)
    assert len([row for row in kept if row.kind == "ASSESSMENT"]) == 1
    trail = read.site.ledger.records.audit(read.case_id)
    assert {one.person for one in trail if one.action == "assessed"} == {ADMINISTRATOR}


def test_no_name_of_a_reader_is_kept_on_the_box(read: Read) -> None:
    read.client.post(read.link, data={"reader": READER})
    written = [path for path in read.site.folder.iterdir() if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in written)
    for path in written:
        assert b"kanarie" not in path.read_bytes().lower(), path
    told = command_line("-c", str(read.site.settings), "assessments", "--format", "csv")
    assert told.returncode == 0, told.stderr
    assert "kanarie" not in told.stdout.lower()


@pytest.mark.parametrize("token", ["", "x", "{case}.AAAAAAAAAAAAAAAAAAAA", "{case}."])
def test_a_link_that_was_guessed_opens_nothing(read: Read, token: str) -> None:
    path = f"/assess/{token.format(case=read.case_id)}"
    before = len(read.said())
    assert read.client.get(path).status_code == httpx.codes.NOT_FOUND
    assert read.client.post(path, data={"reader": READER}).status_code in {404, 405}
    assert len(read.said()) == before


def test_a_form_without_a_name_or_a_verdict_stores_nothing(read: Read) -> None:
    before = len(read.said())
    (field, *_) = re.findall(r'name="(verdict [^"]+)"', read.client.get(read.link).text)
    for form in ({field: "accepted", "reader": " "}, {"reader": READER}, {field: "?"}):
        answer = read.client.post(read.link, data=form)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert "name" in answer.text or "judged" in answer.text
    large = read.client.post(read.link, data={"reader": "x" * 100_000})
    assert "larger" in large.text
    assert len(read.said()) == before


def test_an_edited_segmentation_that_comes_back_is_measured_against_ours(read: Read) -> None:
    (ours,) = read.results("SEG")
    edited, kept = edited_copy(ours)
    edited.ContentCreatorName = READER
    before = [case.case_id for case in read.site.cases(read.study_id)]
    send_datasets([edited], read.site.orthanc)
    words = {one.finding: one for one in read.await_word(Source.SEGMENTATION)}
    assert words["anterior"].verdict is Verdict.MODIFIED
    assert words["anterior"].reason is Reason.BOUNDARY
    assert words["anterior"].dice == pytest.approx(kept)
    assert words["posterior"].verdict is Verdict.ACCEPTED
    assert {one.case_id for one in read.said()} == {read.case_id}
    after = [case.case_id for case in read.site.cases(read.study_id)]
    assert after == before, "an edit is no new study"


def test_an_object_that_is_badly_made_stops_nobody_elses_word(read: Read) -> None:
    (ours,) = read.results("SEG")
    for name in ("SegmentNumber", "TrackingUID", "SegmentLabel"):
        edited, _ = edited_copy(ours)
        for item in edited.SegmentSequence:
            if name == "TrackingUID":
                item.TrackingUID = [str(item.TrackingUID), "2.25.1"]
            else:
                delattr(item, name)
        send_datasets([edited], read.site.orthanc)
    wait_for(
        lambda: "returned-unreadable" in read.site.log.read_text(),
        "the log tells of them",
        CASE_SECONDS,
    )
    edited, kept = edited_copy(ours)
    edited.ContentCreatorName = "Later^Reader"
    send_datasets([edited], read.site.orthanc)

    def later() -> list[Assessment]:
        words = [one for one in read.said() if one.source is Source.SEGMENTATION]
        return words if len({one.reader for one in words}) > 1 else []

    wait_for(later, "the later reader's word", CASE_SECONDS)
    assert kept in [pytest.approx(one.dice) for one in later()]


def test_an_assessment_that_comes_as_sr_counts(read: Read) -> None:
    (row,) = (one for one in read.site.ledger.deliveries.results(read.case_id) if one.kind == "SR")
    archive = Appliance.open(read.site.settings).archive()
    ours = archive.result(row.sop_instance_uid, row.kind)
    finding = findings_in(pydicom.dcmread(io.BytesIO(ours.content)))[0]
    report = AssessmentReport(
        reader="Another^Reader",
        assessed=frozenset({ours.sop_instance_uid}),
        statements=(
            Statement(
                tracking_uid=finding.tracking_uid,
                verdict=Verdict.REJECTED,
                reason=Reason.IMAGE_QUALITY,
            ),
        ),
    )
    sr = write_assessment(ours, report, at=datetime.now(UTC), language="en")
    ds = pydicom.dcmread(io.BytesIO(sr.content))
    ds.Manufacturer = "Another workstation"
    send_datasets([ds], read.site.orthanc)
    (word,) = read.await_word(Source.REPORT)
    assert (word.finding, word.verdict) == (finding.name, Verdict.REJECTED)
    assert word.reason is Reason.IMAGE_QUALITY


def test_results_that_a_physicist_withdraws_are_rejected_in_the_pacs_and_readers_are_told(
    read: Read,
) -> None:
    """The last test of the module: nothing can be said of the case any more."""
    ledger = read.site.ledger
    kept = (ResultKind.ASSESSMENT, ResultKind.REJECTION)
    rows = ledger.deliveries.results(read.case_id)
    sent = {row.sop_instance_uid for row in rows if row.kind not in kept}
    intervening.withdraw(ledger, read.case_id, person="Ida Fysiker", reason="The wrong side.")
    wait_for(lambda: not ledger.withdrawals.untold(), "the PACS has the note", CASE_SECONDS)
    rows = ledger.deliveries.results(read.case_id)
    (note,) = (row.sop_instance_uid for row in rows if row.kind is ResultKind.REJECTION)
    with httpx.Client(base_url=read.site.pacs.url, trust_env=False) as pacs:
        (found,) = pacs.post("/tools/lookup", content=note).json()
        file = pacs.get(f"/instances/{found['ID']}/file").content
    ds = pydicom.dcmread(io.BytesIO(file))
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113001"
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    named = {
        str(item.ReferencedSOPInstanceUID)
        for series in evidence.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == sent
    assert "withdrawn" in read.client.get(read.link).text
