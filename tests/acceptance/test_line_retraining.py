"""What readers said becomes a cohort that can teach, out of a real archive, and names nobody."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pydicom
import pytest
from edits import edited_copy
from servers import send_datasets, wait_for
from sites import (
    CASE_SECONDS,
    Site,
    SiteOptions,
    hippocampus,
    hippocampus_study,
    ours_in,
    patient,
    running_site,
)
from source import ROOT
from typer.testing import CliRunner, Result

from clic_edge.cli import app
from clic_edge.domain.assessment import Assessment, Source, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.training.cohort import read_cohort
from clic_edge.training.material import read_material
from clic_edge.training.recipe import Described
from clic_edge.validation.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

pytestmark = pytest.mark.servers
EDITED, ACCEPTED, REJECTED = 601, 602, 603


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A site with three delivered cases, of which readers have said something."""

    site: Site
    edit: Dataset
    """What came back of the first."""
    subjects: dict[int, str]
    """Pseudonym by number of the study."""
    cases: dict[int, str]
    """Case id by number of the study."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("judged")
    options = SiteOptions(more="[retraining]\nallowed = true\n")
    with running_site(folder, options) as site, site.worker():
        studies = {
            number: site.send(hippocampus_study(number)) for number in (EDITED, ACCEPTED, REJECTED)
        }
        cases = {
            number: site.await_case(study, CaseState.DELIVERED) for number, study in studies.items()
        }
        files = ours_in(site.pacs, studies[EDITED]).values()
        (ours,) = (ds for ds in map(_read, files) if ds.Modality == "SEG")
        edit, _ = edited_copy(ours)
        send_datasets([edit], site.orthanc)
        rows = {
            row.case_id: row
            for row in site.ledger.predictions.rows(datetime.min.replace(tzinfo=UTC))
        }
        for number, verdict in ((ACCEPTED, Verdict.ACCEPTED), (REJECTED, Verdict.REJECTED)):
            row = rows[cases[number].case_id]
            site.ledger.assessments.record(_said(row.case_id, row.prediction_id, verdict))
        edited = cases[EDITED].case_id
        wait_for(
            lambda: len(site.ledger.assessments.of_case(edited)) == 2,
            "the edit is in the ledger",
            CASE_SECONDS,
        )
        subjects = {number: rows[case.case_id].subject_id for number, case in cases.items()}
        ids = {number: case.case_id for number, case in cases.items()}
        yield Judged(site=site, edit=edit, subjects=subjects, cases=ids)


def _read(file: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file))


def _said(case_id: str, prediction_id: str, verdict: Verdict) -> list[Assessment]:
    return [
        Assessment(
            case_id=case_id,
            prediction_id=prediction_id,
            finding=name,
            verdict=verdict,
            reason=None,
            reader="CE-R-TEST",
            source=Source.PAGE,
            at=datetime.now(UTC),
        )
        for name in ("anterior", "posterior")
    ]


def gathered(judged: Judged, out: Path, *, more: str = "allowed = true\n") -> Result:
    """Run the command on settings whose table of retraining is this one."""
    text = judged.site.settings.read_text()
    settings = judged.site.folder / f"{out.name}.toml"
    settings.write_text(text.replace("[retraining]\nallowed = true\n", f"[retraining]\n{more}"))
    words = ["retrain", ROOT / "models" / "hippocampus", "--from-ledger", "--cohort-only"]
    words = ["-c", settings, *words, "--cohort", out]
    return CliRunner().invoke(app, [str(word) for word in words])


def code(done: Result) -> str:
    """Return with which error the command ended."""
    assert isinstance(done.exception, ConfigError), done.output
    return done.exception.code


def places(ds: Dataset, number: int) -> set[tuple[float, ...]]:
    """Return where the voxels of a segment lie, in patient millimetres (LPS)."""
    found = set()
    shared = ds.SharedFunctionalGroupsSequence[0]
    row_step, column_step = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(pixels):
            point = origin + axes[:3] * column * column_step + axes[3:] * row * row_step
            found.add(tuple(point.round(2)))
    return found


def test_a_readers_edit_becomes_a_labelled_volume_where_it_was_drawn(
    judged: Judged, tmp_path: Path
) -> None:
    out = tmp_path / "cohort"
    done = gathered(judged, out)
    assert done.exit_code == 0, done.exception
    cohort = read_cohort(out)
    (case,) = cohort.cases
    assert (case.subject, case.truth) == (judged.subjects[EDITED], "edited")
    assert cohort.left_out == {"accepted-only": 1, "rejected": 1}
    image = nib.load(out / "images" / f"{case.name}.nii.gz")
    label = nib.load(out / "labels" / f"{case.name}.nii.gz")
    assert np.array_equal(np.sort(image.get_fdata().ravel()), np.sort(hippocampus().ravel()))
    for number in (1, 2):
        drawn = places(judged.edit, number)
        voxels = np.argwhere(label.get_fdata() == number)
        points = nib.affines.apply_affine(label.affine, voxels) * (-1, -1, 1)
        assert len(drawn) > 50
        assert {tuple(point.round(2)) for point in points} == drawn

    material = read_material(out, Described())
    assert material.certificate
    assert "not to leave the site" in material.described.licence
    words = ["-c", str(judged.site.settings), "deid", "verify", str(out / "dicom")]
    assert CliRunner().invoke(app, words).exit_code == 0, "the images are as certified"
    manifest = json.loads((out / "dicom" / "manifest.json").read_text())
    assert [one["subject_id"] for one in manifest["subjects"]] == [judged.subjects[EDITED]]
    events = judged.site.ledger.records.audit(judged.cases[EDITED])
    assert any(one.action == "gathered" and case.name in one.detail for one in events)
    report = validate(ROOT / "models" / "hippocampus", out)
    anterior, posterior = report.cases[0].classes
    assert posterior.dice == 1, "what the reader left alone, the model finds again"
    assert 0.3 < (anterior.dice or 0) < 0.95


def test_nothing_in_the_cohort_names_a_patient(judged: Judged, tmp_path: Path) -> None:
    out = tmp_path / "named"
    done = gathered(judged, out, more="allowed = true\naccepted_masks = true\n")
    assert done.exit_code == 0, done.exception
    assert {one.truth for one in read_cohort(out).cases} == {"edited", "accepted"}
    assert read_cohort(out).left_out == {"rejected": 1}
    who = patient(EDITED)
    secrets = [who.patient_id, who.accession_number, who.uid_root, who.name.split("^")[0]]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
    assert not [secret for secret in secrets if secret in done.output]


def test_who_opted_out_is_not_taken_and_not_kept(judged: Judged, tmp_path: Path) -> None:
    listed = tmp_path / "opt-out.txt"
    listed.write_text(f"# by letter\n{judged.subjects[EDITED]}  # 2026-11-20\n")
    out = tmp_path / "opted"
    done = gathered(judged, out, more=f'allowed = true\nopt_out = "{listed}"\n')
    assert done.exit_code == 0, done.exception
    assert read_cohort(out).left_out["opted-out"] == 1
    assert not read_cohort(out).cases
    assert not (out / "dicom" / judged.subjects[EDITED]).exists()

    before = tmp_path / "before"
    assert gathered(judged, before).exit_code == 0
    late = gathered(judged, before, more=f'allowed = true\nopt_out = "{listed}"\n')
    assert code(late) == "opt-out-in-cohort"

    missing = gathered(judged, tmp_path / "x", more='allowed = true\nopt_out = "nowhere.txt"\n')
    assert code(missing) == "opt-out-unreadable"


@pytest.mark.parametrize("more", ["", "allowed = false\n"])
def test_a_site_that_did_not_allow_it_gives_nothing(
    judged: Judged, tmp_path: Path, more: str
) -> None:
    done = gathered(judged, tmp_path / f"off{len(more)}", more=more)
    assert code(done) == "retraining-not-allowed"
    assert "[retraining] allowed = true" in str(done.exception)
    assert not (tmp_path / f"off{len(more)}").exists()
