"""A challenger sees what the active model sees, is logged beside it, and nothing of it is shown."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from model_packages import TOML, write_package
from sites import (
    ROOT,
    Site,
    SiteOptions,
    command_line,
    hippocampus_study,
    pipeline_toml,
    results_in,
    roots_in,
    running_site,
    texts_of,
)

from clic_edge.domain.case import CaseState
from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers


def _retitled(models: Path, name: str) -> None:
    """Put a copy of the model that ships beside it, under another version."""
    shutil.copytree(ROOT / "models" / "hippocampus", models / name)
    path = models / name / "model.toml"
    path.write_text(path.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
    write_digests(models / name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site whose model has a challenger, one that refuses, and two that are broken."""
    folder = tmp_path_factory.mktemp("challenged")
    models = folder / "models"
    shutil.copytree(ROOT / "models" / "hippocampus", models / "hippocampus")
    _retitled(models, "next")
    write_package(models / "refuses", toml=TOML.replace('modality = "MR"', 'modality = "CT"'))
    write_package(models / "broken")
    (models / "broken" / "model.onnx").write_bytes(b"no network")
    write_package(models / "undeclared")
    (models / "undeclared" / "model.toml").write_text("no table")
    pipeline = pipeline_toml().replace(
        'deid_profile = "basic"',
        'deid_profile = "basic"\nchallengers = ["broken", "undeclared", "refuses", "next"]',
    )
    options = SiteOptions(pipelines={"hippocampus": pipeline}, models=models, unsigned=True)
    with running_site(folder / "site", options) as site, site.worker():
        yield site


def test_a_challenger_is_logged_with_its_agreement_and_not_shown(site: Site) -> None:
    study_id = site.send(hippocampus_study(601))
    case = site.await_case(study_id, CaseState.DELIVERED)
    rows = {row.model_version: row for row in site.ledger.predictions.rows(case.received_at)}
    assert set(rows) == {"1.0.0", "1.1.0"}
    told = {one.name: one.number for one in rows["1.1.0"].features}
    assert told["agreement.anterior.dice"] == 1
    assert told["agreement.posterior.volume_difference_mm3"] == 0
    assert not [one for one in rows["1.0.0"].features if one.name.startswith("agreement")]
    assert len(results_in(site.pacs, study_id)) == 2
    (root,) = roots_in(site.pacs, study_id)
    assert "1.1.0" not in "\n".join(texts_of(root))
    log = site.log.read_text()
    assert log.count('"challenger-failed"') == 3
    assert "model-declaration" in log
    assert "model-changed" in log
    assert "modality-unsupported" in log


def test_a_suspension_holds_for_the_worker_that_runs_and_is_told_in_the_pacs(site: Site) -> None:
    site.await_case(site.send(hippocampus_study(602)), CaseState.DELIVERED)
    why = "It misses the tail on the new scanner."
    words = ("models", "suspend", "hippocampus", "--pipeline", "hippocampus")
    said = command_line("-c", str(site.settings), *words, "--by", "A. Jensen", "--why", why)
    assert said.returncode == 0, said.stderr
    study_id = site.send(hippocampus_study(603))
    case = site.await_case(study_id, CaseState.REFUSED)
    assert case.code == "model-suspended"
    assert results_in(site.pacs, study_id) == {}
    (root,) = roots_in(site.pacs, study_id)
    assert why in "\n".join(texts_of(root))
    rows = site.ledger.predictions.rows(case.received_at)
    assert [row.model_version for row in rows if row.case_id == case.case_id] == ["1.1.0"]
