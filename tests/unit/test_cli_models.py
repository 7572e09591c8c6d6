"""A package's way from its maker to the site, by the commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_package
from runtime_packages import write_map
from typer.testing import CliRunner

from clic_edge.cli import app, console

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


class Bench:
    """A maker's folder and a site, and the command line between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "clic-edge.toml"
        self.settings.write_text('[appliance]\nmodels = "models"\nmodel_keys = "trusted"\n')
        self.package = write_package(folder / "brightness")
        self.archive = folder / "brightness.clic"

    def run(self, *words: str | Path) -> Result:
        """Run ``clic-edge models``."""
        return CliRunner().invoke(app, ["-c", str(self.settings), "models", *map(str, words)])

    def done(self, *words: str | Path) -> str:
        """Run it, and return what it printed."""
        ran = self.run(*words)
        assert ran.exit_code == 0, (ran.output, ran.exception)
        return ran.output


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench, and a wide terminal."""
    monkeypatch.setattr(console.stdout, "width", 200)  # it may have been made before
    return Bench(tmp_path)


def phantom(folder: Path) -> Path:
    """Return a NIfTI file of the volume of which the network's answer is known."""
    volume = volume_of(known_labels())
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine
    path = folder / "phantom.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(volume.voxels, np.float32), affine), path)
    return path


@pytest.mark.slow
def test_a_package_for_another_runtime_goes_the_same_way(bench: Bench) -> None:
    package = write_map(bench.folder / "other")
    assert "sealed" in bench.done("seal", package, phantom(bench.folder))
    assert "0 of" in bench.done("check", package)
    bench.done("init-key", bench.folder / "anna")
    bench.done("sign", package, "--key", bench.folder / "anna")
    (bench.folder / "trusted").mkdir()
    shutil.copy(bench.folder / "anna.pub", bench.folder / "trusted")
    bench.done("pack", package, bench.archive)
    assert "installed" in bench.done("install", bench.archive)
    assert "sound" in bench.done("list")
    there = bench.folder / "models" / "brightness"
    names = {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    assert names >= {path.relative_to(package) for path in package.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_package_goes_from_its_maker_to_the_site(bench: Bench) -> None:
    assert "sealed" in bench.done("seal", bench.package, phantom(bench.folder))
    bench.done("init-key", bench.folder / "anna")
    bench.done("sign", bench.package, "--key", bench.folder / "anna")
    assert "test case phantom: 0 of" in bench.done("check", bench.package)
    bench.done("pack", bench.package, bench.archive)
    refused = bench.run("install", bench.archive)
    assert getattr(refused.exception, "code", "") == "model-signer-unknown"
    (bench.folder / "trusted").mkdir()
    shutil.copy(bench.folder / "anna.pub", bench.folder / "trusted")
    assert "signed by anna" in bench.done("verify", bench.archive)
    assert "installed: brightness 0.1" in bench.done("install", bench.archive)
    shown = bench.done("list")
    assert "anna" in shown
    assert "sound" in shown
    assert "Phantom Works" in bench.done("show", bench.archive)
    with (bench.folder / "models" / "brightness" / "model.onnx").open("ab") as weights:
        weights.write(b"\0")
    assert "are not those of digests.json" in bench.done("list")
    bench.done("remove", "brightness")
    assert "brightness" not in bench.done("list").partition("model packages")[2].split(":", 1)[1]


@pytest.mark.slow
def test_a_package_that_asks_of_the_patient_passes_its_own_gate(bench: Bench) -> None:
    with (bench.package / "model.toml").open("a") as declaration:
        declaration.write("[population]\nage_years = [18, 90]\n")
    image = phantom(bench.folder)
    untold = bench.run("seal", bench.package, image)
    assert getattr(untold.exception, "code", "") == "age-unsupported"
    bench.done("seal", bench.package, image, "--acquisition", "age_years=40")
    assert "test case phantom: 0 of" in bench.done("check", bench.package)
    bench.done("init-key", bench.folder / "anna")
    bench.done("sign", bench.package, "--key", bench.folder / "anna")
    (bench.folder / "trusted").mkdir()
    shutil.copy(bench.folder / "anna.pub", bench.folder / "trusted")
    assert "installed: brightness 0.1" in bench.done("install", bench.package)


def test_a_new_package_explains_itself_and_says_what_is_missing(bench: Bench) -> None:
    folder = bench.folder / "lesions"
    bench.done("init", folder)
    assert 'id = "lesions"' in (folder / "model.toml").read_text()
    missing = bench.run("check", folder)
    assert getattr(missing.exception, "code", "") == "model-incomplete"
    again = bench.run("init", folder)
    assert getattr(again.exception, "code", "") == "package-exists"


def test_check_does_not_make_a_changed_package_look_whole(bench: Bench) -> None:
    bench.done("init-key", bench.folder / "anna")
    bench.done("sign", bench.package, "--key", bench.folder / "anna")
    with (bench.package / "model.toml").open("a") as declaration:
        declaration.write("# changed\n")
    changed = bench.run("check", bench.package)
    assert getattr(changed.exception, "code", "") == "model-changed"
