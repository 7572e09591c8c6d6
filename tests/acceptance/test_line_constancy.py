"""Phantoms through the whole chain: commissioned, found the same, found another, and gone again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import numpy_helper
from servers import wait_for
from sites import (
    CASE_SECONDS,
    ROOT,
    Site,
    SiteOptions,
    hippocampus_study,
    pipeline_toml,
    roots_in,
    running_site,
    study_handle,
    texts_of,
)

from clic_edge.app import Appliance
from clic_edge.config.protocol import load_protocols
from clic_edge.constancy import running
from clic_edge.constancy.acceptance import accept, keep
from clic_edge.constancy.chain import announcement, sweep
from clic_edge.constancy.pages import acceptance_pdf
from clic_edge.constancy.phantoms import stacks
from clic_edge.constancy.studies import make_study
from clic_edge.deid.keys import load_key
from clic_edge.deid.page_key import PageKey
from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import ReportFiles, Verdict, constancy_pipeline
from clic_edge.domain.monitoring import Channel
from clic_edge.domain.standing import ModelState
from clic_edge.errors import Defect
from clic_edge.inference.footprint import Sample, write_note
from clic_edge.inference.package import load_package, write_digests
from clic_edge.pipeline.acceptance_report import is_signed, read_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.constancy.acceptance import Accepted
    from clic_edge.constancy.chain import Chain
    from clic_edge.domain.constancy import Record

pytestmark = pytest.mark.servers
PROTOCOL = """\
name = "hippocampus"
version = 1
pipeline = "hippocampus"
responsible = "Medical physics"
series = { description = "Hippocampus" }

[[cases]]
name = "sealed"
sealed = "icbm152-left"

[[cases]]
name = "turned"
like = "sealed"
perturb = "turned"
expect = "refused"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with a constancy protocol and a model of its own."""
    folder = tmp_path_factory.mktemp("constancy")
    shutil.copytree(ROOT / "models" / "hippocampus", folder / "models" / "hippocampus")
    package = folder / "models" / "hippocampus"
    measured = Sample(device="cpu", batch=1, voxels=1, peak_bytes=1_000_000, seconds=0.1)
    write_note(package, load_package(package).identity.digest, (measured,))
    options = SiteOptions(
        pipelines={"hippocampus": pipeline_toml(quiet_seconds="0.3")},
        models=folder / "models",
        unsigned=True,
        more='[constancy]\non_failure = "suspend"\n',
    )
    with running_site(folder / "site", options) as site:
        (site.folder / "constancy").mkdir()
        (site.folder / "constancy" / "hippocampus.toml").write_text(PROTOCOL)
        yield site


@pytest.fixture(scope="module")
def chain(site: Site) -> Chain:
    return Appliance.open(site.settings).chain()


@pytest.fixture(scope="module")
def accepted(site: Site, chain: Chain) -> Accepted:
    """Return the acceptance of the model as it ships, and a check of it that passed."""
    (protocol,) = load_protocols(site.folder / "constancy")
    with site.worker() as worker:
        place = running.model_of(chain, "hippocampus")
        accepted = accept(chain, protocol, place, person="A. Jensen", validation=None)
        assert accepted.report.is_met, accepted.report.criteria
        again = running.check(chain, protocol, place, by="A. Jensen")
        assert again.run.verdict is Verdict.PASSED, again.failed
        assert_nothing_is_left(site)
        worker.terminate()  # killed, it would count as serving for a while
        worker.wait()
    return accepted


def assert_nothing_is_left(site: Site) -> None:
    """Assert that no phantom lies anywhere, and no case of one in the ledger."""
    assert site.orthanc.get("/studies") == []
    assert site.pacs.get("/studies") == []
    assert not site.ledger.cases.all()
    assert not site.ledger.constancy.announced()
    assert not list((site.folder / "phantoms").glob("*"))


@pytest.fixture(scope="module")
def commissioned(site: Site, accepted: Accepted) -> Record:
    """Return the record that was sealed with it."""
    (record,) = site.ledger.constancy.records()
    assert record.digest == accepted.report.record
    return record


def test_an_acceptance_is_signed_kept_and_printed(
    site: Site, chain: Chain, accepted: Accepted
) -> None:
    report = accepted.report
    asked = {one.name for one in report.criteria}
    assert {"sealed test cases answered as sealed", "case turned: refused"} <= asked
    key = PageKey.of(load_key(site.folder / "deid.key"))
    assert is_signed(report, key)
    assert not is_signed(report.model_copy(update={"person": "B"}), key)
    made = stacks(load_protocols(site.folder / "constancy")[0], ROOT / "models" / "hippocampus")
    files = ReportFiles(json=report.model_dump_json(), pdf=acceptance_pdf(accepted, made))
    assert files.pdf.startswith(b"%PDF-")
    assert b"pdfaid:part" in files.pdf
    kept = keep(chain, accepted, files)
    assert site.ledger.constancy.reports("hippocampus") == (kept,)
    assert kept.accepted
    assert read_report(site.ledger.constancy.report(kept.report_id).json) == report


def test_a_record_holds_what_every_case_showed(commissioned: Record) -> None:
    sealed, turned = commissioned.outcomes
    assert (sealed.state, sealed.objects) == ("delivered", ("SEG", "SR", "SUMMARY"))
    assert [one.name for one in sealed.outlines] == [
        "Anterior hippocampus",
        "Posterior hippocampus",
    ]
    assert (turned.state, turned.code) == ("refused", "tilt-unsupported")
    assert commissioned.device == "cpu"


def test_a_model_with_another_weight_is_found_and_suspended_and_readers_are_told(
    site: Site, chain: Chain, commissioned: Record
) -> None:
    _change_a_weight(site.options.models / "hippocampus")
    (protocol,) = load_protocols(site.folder / "constancy")
    with site.worker():
        place = running.model_of(chain, "hippocampus")
        assert place.digest != commissioned.model_digest

        ran = running.check(chain, protocol, place, by="schedule")

        assert ran.run.verdict is Verdict.FAILED
        failed = {(one.case, one.quantity) for one in ran.failed}
        assert ("", "model") in failed
        assert ("sealed", "Anterior hippocampus Dice") in failed
        assert_nothing_is_left(site)
        (alarm,) = site.ledger.monitoring.alarms(is_open=True)
        assert (alarm.channel, alarm.model_digest) == (Channel.CONSTANCY, place.digest)
        actions = [one.action for one in site.ledger.records.audit("")]
        # Whoever is killed between the two has the alarm.
        assert actions.index("alarm-opened") < actions.index("constancy-failed")
        assert running.model_of(chain, "hippocampus") == place
        event = site.ledger.standing.standing("hippocampus")[place.digest]
        assert event.now is ModelState.SUSPENDED

        patient = site.send(hippocampus_study(1))
        # On a slow machine the study may be stable twice: more images make another case.
        case = site.await_case(patient, CaseState.REFUSED, pipeline="hippocampus")
        assert case.code == "model-suspended"
        roots = roots_in(site.pacs, patient)
        assert any("constancy check" in text for root in roots for text in texts_of(root))
        _leave_a_phantom_behind(site, chain)
    assert running.since_commissioning(chain, protocol, place) == (
        f"model: {place.digest[:12]}, not {commissioned.model_digest[:12]}",
    )


def _leave_a_phantom_behind(site: Site, chain: Chain) -> None:
    """Let a run send a study and die; whoever looks next removes all of it, and the patient stays."""
    (protocol,) = load_protocols(site.folder / "constancy")
    done = site.ledger.constancy.runs()[-1]
    dead = replace(done, run_id="dead", ended_at=None, verdict=Verdict.RUNNING)
    site.ledger.constancy.begin(dead)
    made = stacks(protocol, ROOT / "models" / "hippocampus")
    study = make_study(made["sealed"], protocol=protocol.name, case="sealed", run_id="dead")
    pipeline = constancy_pipeline("hippocampus", done.model_digest)
    told = announcement(study, run_id="dead", case="sealed", pipeline=pipeline)
    site.ledger.constancy.announce(told)
    chain.shelf.send(study.files)

    later = dead.started_at + timedelta(hours=1)
    wait_for(lambda: sweep(chain, now=later) == 0, "all that was left is removed", CASE_SECONDS)

    assert len(site.orthanc.get("/studies")) == len(site.pacs.get("/studies")) == 1
    assert {one.pipeline for one in site.ledger.cases.all()} <= {"hippocampus", "-"}
    (ended,) = (one for one in site.ledger.constancy.runs() if one.run_id == "dead")
    assert ended.verdict is Verdict.INCOMPLETE
    with pytest.raises(Defect, match=r"not-a-phantom"):
        chain.shelf.remove(study_handle(hippocampus_study(1)[0]))


def _change_a_weight(package: Path) -> None:
    """Make one weight of the last layer another, as a fault or a careless hand does."""
    path = package / "model.onnx"
    network = onnx.load(path)
    last = network.graph.initializer[-1]
    values = numpy_helper.to_array(last).copy()
    values.flat[0] += 1.0
    last.CopyFrom(numpy_helper.from_array(values, last.name))
    onnx.save(network, path)
    write_digests(package)
