from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from model_packages import LEVELS, known_labels, write_package
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.domain.volume import Geometry
from clic_edge.errors import ConfigError
from clic_edge.validation import validate
from clic_edge.validation.bland_altman import plot_bland_altman
from clic_edge.validation.folder import read_case
from clic_edge.validation.metrics import compare, hausdorff95
from clic_edge.validation.statistics import interval_of_mean, paired

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GRID = Geometry(affine=np.diag([1.0, 2.0, 3.0, 1.0]), shape=(10, 12, 14))
RAS = np.eye(4)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with two cases; the reference of `b` has one grey voxel less."""
    folder = tmp_path / "data"
    fewer = known_labels()
    fewer[2, 1, 3] = 0
    write_case(folder, "a", known_labels())
    write_case(folder, "b", known_labels(), reference=fewer)
    return folder


def write_case(
    folder: Path,
    name: str,
    labels: NDArray[np.uint8],
    *,
    reference: NDArray[np.generic] | None = None,
    label_affine: NDArray[np.float64] = RAS,
) -> None:
    image = np.array(LEVELS, np.int16)[labels]
    for part, values, affine in (
        ("images", image, RAS),
        ("labels", labels if reference is None else reference, label_affine),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, affine), folder / part / f"{name}.nii.gz")


def complaint(package: Path, data: Path, **options: Path) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        validate(package, data, **options)
    return error.value


def test_a_report_has_numbers_by_case_and_in_all(package: Path, data: Path) -> None:
    report = validate(package, data)
    content = json.loads(report.to_json())
    grey = int((known_labels() == 1).sum())
    dice = [1.0, 2 * (grey - 1) / (2 * grey - 1)]
    assert content["n"] == 2
    assert content["selection"] == "All 2 cases."
    assert content["model"]["digest"] == report.model.digest
    assert content["classes"]["grey"]["dice"] == {
        "n": 2,
        "mean": pytest.approx(np.mean(dice)),
        "low": pytest.approx(min(dice)),
        "high": 1.0,
        "sd": pytest.approx(np.std(dice, ddof=1)),
        "median": pytest.approx(np.median(dice)),
        "min": pytest.approx(min(dice)),
        "max": 1.0,
    }
    assert content["classes"]["grey"]["volume_error_mm3"]["max"] == 1.0
    assert content["classes"]["grey"]["volume_error_percent"]["mean"] == pytest.approx(
        50 / (grey - 1)
    )
    assert [case["name"] for case in content["cases"]] == ["a", "b"]
    assert content["cases"][1]["classes"]["grey"]["dice"] == pytest.approx(dice[1])
    assert content["cases"][0]["classes"]["white"]["hd95_mm"] == 0


def test_a_class_that_is_nowhere_has_no_dice(package: Path, tmp_path: Path) -> None:
    write_case(tmp_path / "data", "a", np.minimum(known_labels(), 1))
    agreement = validate(package, tmp_path / "data").cases[0].classes[1]
    assert (agreement.dice, agreement.hd95_mm, agreement.volume_error_percent) == (None,) * 3
    assert agreement.volume_error_mm3 == 0


def test_progress_is_told_from_nothing_to_all(package: Path, data: Path) -> None:
    steps: list[tuple[int, int]] = []
    validate(package, data, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_cases_that_the_model_learned_from_do_not_count(package: Path, data: Path) -> None:
    (package / "split.json").write_text(json.dumps({"train": ["a"], "validation": ["b"]}))
    report = validate(package, data)
    assert [case.name for case in report.cases] == ["b"]
    assert report.selection == "1 of 2 cases; the model learned from the other 1."


def test_a_split_names_the_cases(package: Path, data: Path, tmp_path: Path) -> None:
    split = tmp_path / "other.json"
    split.write_text(json.dumps({"validation": ["a"]}))
    assert [case.name for case in validate(package, data, split=split).cases] == ["a"]
    split.write_text(json.dumps({"validation": ["c"]}))
    assert "c" in complaint(package, data, split=split).sentence
    for text in ("{", "[]", '{"train": ["a"]}', '{"validation": [1]}'):
        split.write_text(text)
        assert str(split) in complaint(package, data, split=split).sentence


def test_a_case_that_the_model_does_not_take_is_listed_as_refused(
    package: Path, data: Path
) -> None:
    write_case(data, "c", np.resize(known_labels(), (3, 12, 14)))
    report = validate(package, data)
    assert [case.name for case in report.cases] == ["a", "b"]
    assert [(case.name, case.code) for case in report.refused] == [("c", "extent-unsupported")]


def test_an_image_without_a_label_is_named(package: Path, data: Path) -> None:
    (data / "labels" / "b.nii.gz").unlink()
    error = complaint(package, data)
    assert error.code == "validation-label-missing"
    assert "b" in error.sentence


@pytest.mark.parametrize("make", [False, True])
def test_an_empty_folder_is_named(package: Path, tmp_path: Path, *, make: bool) -> None:
    if make:
        (tmp_path / "data" / "images").mkdir(parents=True)
    assert complaint(package, tmp_path / "data").code == "validation-empty"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"not nifti", mtime=0),
        gzip.compress(b"x" * 400, mtime=0)[:-9],
    ],
)
def test_an_unreadable_file_is_named(package: Path, data: Path, content: bytes) -> None:
    (data / "images" / "b.nii.gz").write_bytes(content)
    error = complaint(package, data)
    assert error.code == "validation-unreadable"
    assert "b.nii.gz" in error.sentence


def test_a_truncated_image_is_named(package: Path, data: Path) -> None:
    path = data / "images" / "b.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    assert complaint(package, data).code == "validation-unreadable"


def test_grids_that_disagree_are_named(package: Path, data: Path) -> None:
    write_case(data, "b", known_labels(), label_affine=np.diag([1, 1, 1.1, 1]))
    assert complaint(package, data).code == "validation-grid"
    write_case(data, "b", known_labels(), reference=known_labels()[1:])
    assert complaint(package, data).code == "validation-grid"


def test_a_label_that_the_model_does_not_know_is_named(package: Path, data: Path) -> None:
    write_case(data, "b", known_labels(), reference=known_labels() + np.uint8(1))
    assert complaint(package, data).code == "validation-label"
    write_case(data, "b", known_labels(), reference=known_labels() * np.float32(0.5))
    assert complaint(package, data).code == "validation-label"


def test_a_series_in_time_is_not_one_volume(package: Path, data: Path) -> None:
    write_case(data, "b", np.stack([known_labels()] * 2, axis=-1))
    assert complaint(package, data).code == "validation-unreadable"


def test_nifti_runs_right_and_anterior_where_dicom_runs_left_and_posterior(data: Path) -> None:
    volume = read_case(data, "a", modality="MR").volume
    np.testing.assert_array_equal(volume.geometry.affine, np.diag([-1.0, -1.0, 1.0, 1.0]))


def test_the_plot_is_a_picture_with_a_panel_for_each_class(package: Path, data: Path) -> None:
    assert plot_bland_altman(validate(package, data)).startswith(b"\x89PNG")


def test_the_interval_of_a_mean_holds_it_and_is_the_same_at_each_run() -> None:
    values = np.random.default_rng(1).normal(0.9, 0.03, 40).tolist()
    low, high = interval_of_mean(values)
    assert (low, high) == interval_of_mean(values)
    assert low is not None
    assert high is not None
    error = 1.96 * np.std(values, ddof=1) / np.sqrt(40)
    assert low == pytest.approx(np.mean(values) - error, abs=0.002)
    assert high == pytest.approx(np.mean(values) + error, abs=0.002)
    assert interval_of_mean([0.9]) == (None, None)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        low, high = interval_of_mean(rng.normal(0, 1, 60).tolist())
        held += low is not None and high is not None and low <= 0 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_a_pair_of_models_is_compared_case_by_case() -> None:
    first = [0.80, 0.85, None, 0.90, 0.70, 0.75, 0.82, 0.88, 0.91]
    second = [None if one is None else one + 0.02 for one in first[:-1]] + [None]
    found = paired(first, second)
    assert found.n == 7
    assert found.mean == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 / 2**7), "all seven signs agree"
    same = paired(first, first)
    assert (same.mean, same.p_value) == (0, 1)
    assert paired([None], [1.0]).n == 0


def subjects(folder: Path, text: str) -> Path:
    path = folder / "subjects.csv"
    path.write_text(text)
    return path


def test_subgroups_have_numbers_of_their_own_and_say_when_they_are_small(
    package: Path, data: Path
) -> None:
    subjects(data, "name,sex,scanner\na,F,One\nb,M,\nz,M,Two\n")
    groups = json.loads(validate(package, data).to_json())["subgroups"]
    assert set(groups) == {"sex", "scanner"}
    assert set(groups["scanner"]) == {"One"}, "an empty cell is no group"
    assert groups["sex"]["F"]["n"] == 1
    assert groups["sex"]["F"]["classes"]["grey"]["dice"]["mean"] == 1
    assert groups["sex"]["M"]["classes"]["grey"]["dice"]["mean"] < 1
    assert groups["sex"]["M"]["too_small"] is True


@pytest.mark.parametrize(
    "text", ["", "name\na\n", "who,sex\na,F\n", "name,sex\na,F\n", "name,sex\na\nb,F\n"]
)
def test_a_table_of_subjects_that_does_not_fit_is_named(
    package: Path, data: Path, text: str
) -> None:
    path = subjects(data, text)
    error = complaint(package, data)
    assert error.code == "validation-subjects"
    assert str(path) in error.sentence


@pytest.mark.slow
def test_a_report_is_a_page_in_html_and_pdf(
    package: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 200)
    subjects(data, "name,site\na,<North>\nb,South\n")
    words = ["validate", package, "--data", data, "--out", tmp_path / "r.json"]
    ran = CliRunner().invoke(app, [*map(str, words), "--against", str(package)])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    page = (tmp_path / "r.html").read_text()
    assert "site &lt;North&gt;, 1 cases: too few to conclude from" in page
    assert "p = 1" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-1.7")
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["against"]["classes"]["grey"]["dice"] == {
        "n": 2,
        "mean": 0,
        "low": 0,
        "high": 0,
        "p_value": 1,
    }


def test_packages_that_were_asked_otherwise_are_not_compared(
    package: Path, data: Path, tmp_path: Path
) -> None:
    (package / "split.json").write_text(json.dumps({"train": ["a"]}))
    other = write_package(tmp_path / "other")
    words = ["validate", package, "--data", data, "--out", tmp_path / "r.json"]
    ran = CliRunner().invoke(app, [*map(str, words), "--against", str(other)])
    assert getattr(ran.exception, "code", "") == "validation-pairs"
    assert not (tmp_path / "r.json").exists()


masks = npst.arrays(np.bool_, st.tuples(*[st.integers(3, 9)] * 3), elements=st.booleans())


@pytest.mark.slow
@given(first=masks, data=st.data(), spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3))
@settings(deadline=None, max_examples=60)
def test_surface_distance_and_dice_equal_monais(
    first: NDArray[np.bool_], data: st.DataObject, spacing: tuple[float, float, float]
) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    second = data.draw(npst.arrays(np.bool_, first.shape, elements=st.booleans()))
    assume(first.any() and second.any())
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (first, second)]
    theirs = metrics.compute_hausdorff_distance(*pair, percentile=95, spacing=list(spacing))
    assert hausdorff95(first, second, spacing) == pytest.approx(float(theirs), abs=1e-4)
    dice = compare(first, second, Geometry(affine=np.eye(4), shape=(1, 1, 1))).dice
    assert dice == pytest.approx(float(metrics.compute_dice(*pair)))


def test_volumes_are_in_cubic_millimetres() -> None:
    found, reference = np.zeros((2, *GRID.shape), bool)
    found[:2, 0, 0], reference[:1, 0, 0] = True, True
    agreement = compare(found, reference, GRID)
    assert (agreement.volume_mm3, agreement.reference_volume_mm3) == (12, 6)
    assert (agreement.volume_error_mm3, agreement.volume_error_percent) == (6, 100)
    assert agreement.hd95_mm == pytest.approx(0.95)


def test_a_folder_for_each_case_is_the_same(package: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "by case"
    for name in ("a", "b"):
        (other / name).mkdir(parents=True)
        shutil.copy(data / "images" / f"{name}.nii.gz", other / name / "MR_image.nii.gz")
        shutil.copy(data / "labels" / f"{name}.nii.gz", other / name / "MR_mask.nii.gz")
    (other / "notes").mkdir()
    assert validate(package, other).cases == validate(package, data).cases
    assert [one.name for one in validate(package, other).cases] == ["a", "b"]
