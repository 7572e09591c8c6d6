"""Whole slides from the scanner to the PACS: labels stay out, results lie on the glass."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
import wsidicom
from factories import CANARY
from sites import (
    NEVER,
    ROOT,
    SiteOptions,
    command_line,
    results_in,
    roots_in,
    running_site,
    texts_of,
)
from slide_cases import dense
from slides import Scan, pyramid, sm_image

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset


def slide_study() -> list[Dataset]:
    """Return a slide as scanners send it: the label and an overview in the series of the levels."""
    scan = Scan(patient=CANARY, codec="jpeg")
    label, above = (sm_image(scan, dense(64, 96), flavour=one) for one in ("LABEL", "OVERVIEW"))
    return [label, above, *pyramid(scan, dense())]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return a site with what ships."""
    path = tmp_path / "clic-edge.toml"
    path.write_text(
        f'[appliance]\nstate_dir = "state"\npipelines = "{ROOT}/configs/pipelines"\n'
        f'models = "{ROOT}/models"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        f'destination_profiles = "{ROOT}/configs/destinations"\n'
        f'model_keys = "{ROOT}/configs/model-keys"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "pacs"\n'
    )
    return path


def ran(settings: Path, datasets: list[Dataset]) -> tuple[dict[str, object], list[Dataset]]:
    """Return the case and the results of `clic-edge run`."""
    folder, out = settings.parent / "study", settings.parent / "out"
    folder.mkdir()
    for number, ds in enumerate(datasets):
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    arguments = ("run", str(folder), "--pipeline", "tissue-tiles", "--out", str(out))
    done = command_line("-c", str(settings), *arguments, "--profile", "slides")
    assert done.returncode in {0, 3, 5}, done.stderr
    (case,) = json.loads((out / "report.json").read_text())
    assert CANARY.patient_id not in done.stdout + done.stderr + json.dumps(case)
    return case, [pydicom.dcmread(one) for one in sorted(out.glob("*.dcm"))]


@pytest.mark.slow
def test_a_folder_with_a_slide_gives_its_results(settings: Path) -> None:
    study = slide_study()
    case, results = ran(settings, study)
    assert case["case"]["state"] == "delivered"  # type: ignore[index] # what json holds
    kinds = [one.Modality for one in results]
    assert sorted(kinds) == ["ANN", "OT", "OT", "OT", "SR", "SR"]
    (annotations,) = (one for one in results if one.Modality == "ANN")
    (tile,) = wsidicom.AnnotationInstance.open_dataset(annotations)[0].annotations
    corners = np.array(tile.geometry.to_coords())
    # Rows run down -x and columns down -y from (20, 40): row 256 to 384, column 384 to 512.
    np.testing.assert_allclose(corners.min(axis=0), (20 - 0.3835, 40 - 0.5115), atol=1e-6)
    np.testing.assert_allclose(corners.max(axis=0), (20 - 0.2555, 40 - 0.3835), atol=1e-6)
    level = study[2]
    for one in results:
        assert one.PatientID == CANARY.patient_id
        assert one.StudyInstanceUID == CANARY.study_instance_uid
    referred = {ds.SOPInstanceUID for ds in study} & referred_by(results)
    assert referred == {level.SOPInstanceUID}


def referred_by(results: list[Dataset]) -> set[str]:
    """Return every instance that a result refers to, wherever it does."""
    return {
        str(element.value)
        for one in results
        for element in one.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }


@pytest.mark.slow
def test_a_slide_of_labels_alone_is_refused_and_the_reader_told(settings: Path) -> None:
    case, results = ran(settings, slide_study()[:2])
    assert case["case"]["code"] == "no-slide"  # type: ignore[index] # what json holds
    (root,) = results
    assert any("no image of tissue" in one for one in texts_of(root))


@pytest.mark.servers
def test_a_slide_sent_to_orthanc_gets_its_results_in_the_pacs(tmp_path: Path) -> None:
    """A PACS without a profile gets the reports; maps and annotations wait in Orthanc and go on."""
    pipeline = (ROOT / "configs" / "pipelines" / "tissue-tiles.toml").read_text()
    pipeline = pipeline.replace("quiet_seconds = 300", "quiet_seconds = 0")
    options = SiteOptions(
        pipelines={"tissue-tiles": pipeline.replace('["pacs"]', '["pacs", "glass"]')},
        destinations=f"""
[destinations.glass]
kind = "folder"
path = "{tmp_path}/glass"
profile = "{ROOT}/configs/destinations/slides.toml"
""",
        reconcile_seconds=NEVER,
    )
    with running_site(tmp_path / "site", options) as site, site.worker():
        study_id = site.send(slide_study())
        site.await_case(study_id, CaseState.DELIVERED)
        in_pacs = results_in(site.pacs, study_id).values()
        (root,) = roots_in(site.pacs, study_id)
        log = site.log.read_text()
    on_glass = [pydicom.dcmread(one) for one in (tmp_path / "glass").rglob("*.dcm")]
    assert [one.Modality for one in map(read, in_pacs)] == ["SR"]
    assert sorted(one.Modality for one in on_glass) == ["ANN", "OT", "OT", "OT", "SR", "SR"]
    assert any("Area of tissue" in one for one in texts_of(root))
    assert CANARY.patient_id not in log
    assert CANARY.accession_number not in log


def read(file: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file))
