"""Who vouches for a package, how it travels, and what a site lets in."""

from __future__ import annotations

import json
import shutil
import zipfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from model_packages import TOML, known_labels, volume_of, write_package

from clic_edge.errors import ClicEdgeError, ConfigError, Defect
from clic_edge.inference import store
from clic_edge.inference.archive import opened, pack
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import load_package, write_digests
from clic_edge.inference.signing import create_signing_key, sign, verify_signature
from clic_edge.inference.store import install, installed, remove
from clic_edge.inference.testset import replay, require_same, seal, with_acquisition

AT = datetime(2026, 11, 3, 8, 15, tzinfo=UTC)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder with a private key and its public half."""
    folder = tmp_path / "keys"
    folder.mkdir()
    create_signing_key(folder / "maker")
    return folder


@pytest.fixture
def package(tmp_path: Path, keys: Path) -> Path:
    """Return a signed package with one sealed case."""
    folder = write_package(tmp_path / "brightness")
    seal(folder, "blocks", volume=volume_of(known_labels()), runtime=OnnxRuntime.load(folder))
    sign(folder, keys / "maker", at=AT)
    return folder


def code(error: pytest.ExceptionInfo[ClicEdgeError]) -> str:
    return error.value.code


def test_a_signed_package_says_who_vouches_for_it(package: Path, keys: Path) -> None:
    by = verify_signature(package, keys)
    assert (by.signer, by.signed_at) == ("maker", AT)


def test_a_private_key_is_its_owners_and_is_never_overwritten(keys: Path) -> None:
    assert (keys / "maker").stat().st_mode & 0o077 == 0
    before = (keys / "maker").read_bytes()
    with pytest.raises(ConfigError) as error:
        create_signing_key(keys / "maker")
    assert code(error) == "signing-key"
    assert (keys / "maker").read_bytes() == before


def test_nobody_else_vouches_for_it(package: Path, keys: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    create_signing_key(others / "stranger")
    with pytest.raises(Defect) as error:
        verify_signature(package, others)
    assert code(error) == "model-signer-unknown"
    with pytest.raises(Defect):
        verify_signature(package, tmp_path / "no folder")
    (package / "signature.json").unlink()
    with pytest.raises(Defect) as error:
        verify_signature(package, keys)
    assert code(error) == "model-unsigned"


@pytest.mark.parametrize("name", ["model.toml", "model.onnx", "test/blocks.npz"])
def test_a_byte_that_differs_anywhere_is_seen(package: Path, keys: Path, name: str) -> None:
    content = bytearray((package / name).read_bytes())
    content[-1] ^= 1
    (package / name).write_bytes(content)
    with pytest.raises((Defect, ConfigError)):
        load_package(package)
    digests = json.loads((package / "digests.json").read_text())
    digests["model.onnx"] = "0" * 64
    (package / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(Defect) as error:
        verify_signature(package, keys)
    assert code(error) == "model-signature"


def test_a_file_that_is_added_to_the_test_set_is_seen(package: Path) -> None:
    shutil.copy(package / "test" / "blocks.npz", package / "test" / "more.npz")
    with pytest.raises(Defect) as error:
        load_package(package)
    assert code(error) == "model-changed"


def test_another_day_is_another_signature(package: Path, keys: Path) -> None:
    path = package / "signature.json"
    told = json.loads(path.read_text()) | {"signed_at": "2027-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(told))
    with pytest.raises(Defect) as error:
        verify_signature(package, keys)
    assert code(error) == "model-signature"


@pytest.mark.parametrize("text", ["", "[]", '{"key": 1}', "\x00"])
def test_what_is_no_signature_is_said_to_be_none(package: Path, keys: Path, text: str) -> None:
    (package / "signature.json").write_text(text)
    with pytest.raises(Defect) as error:
        verify_signature(package, keys)
    assert code(error) == "model-signature"


def test_what_is_no_key_is_named(package: Path, keys: Path) -> None:
    (keys / "broken.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    with pytest.raises(ConfigError, match=r"broken\.pub"):
        verify_signature(package, keys)
    with pytest.raises(ConfigError, match=r"model\.toml"):
        sign(package, package / "model.toml", at=AT)


def test_an_archive_is_the_package_byte_for_byte(package: Path, keys: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one.clic", tmp_path / "two.clic"
    (package / "train.py").write_text("stays at home")
    for archive in (first, second):
        pack(package, archive)
    assert first.read_bytes() == second.read_bytes()
    with opened(first) as folder:
        assert load_package(folder).digest == load_package(package).digest
        assert verify_signature(folder, keys).signer == "maker"
        assert not (folder / "train.py").exists()
    assert not folder.exists()
    with pytest.raises(ConfigError, match="exists"):
        pack(package, first)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "..\\outside"])
def test_an_archive_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.clic"
    with zipfile.ZipFile(archive, "w") as written:
        for one in ("model.toml", "digests.json", name):
            written.writestr(one, "x")
    with pytest.raises(ConfigError) as error, opened(archive):
        pass
    assert code(error) == "archive-unreadable"
    assert not list(tmp_path.parent.rglob("outside"))


def test_a_broken_archive_is_named(package: Path, tmp_path: Path) -> None:
    archive = tmp_path / "whole.clic"
    pack(package, archive)
    cut = tmp_path / "cut.clic"
    cut.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(ConfigError, match=r"cut\.clic"), opened(cut):
        pass


def test_a_site_installs_what_it_trusts_and_nothing_else(
    package: Path, keys: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    verify = partial(verify_signature, keys=keys)
    there = install(package, models, verify=verify)
    assert there.folder == models / "brightness"
    (one,) = installed(models, keys)
    assert one.signature
    assert (one.name, one.signature.signer, one.problem) == ("brightness", "maker", None)
    with pytest.raises(ConfigError) as error:
        install(package, models, verify=verify)
    assert code(error) == "model-installed"
    (package / "signature.json").unlink()
    with pytest.raises(Defect):
        install(package, models, verify=verify, replace=True)
    assert verify_signature(there.folder, keys).signer == "maker", "the old one is still there"
    assert [path.name for path in models.iterdir()] == ["brightness"]
    sign(package, keys / "maker", at=AT.replace(hour=10))
    install(package, models, verify=verify, replace=True)
    assert verify_signature(there.folder, keys).signed_at.hour == 10
    remove(models, "brightness")
    assert installed(models, keys) == ()
    for name in ("brightness", "../keys"):
        with pytest.raises(ConfigError):
            remove(models, name)


@pytest.mark.parametrize("identifier", ["../state", "{there}/state", "..", "."])
def test_a_package_that_names_another_folder_replaces_nothing(
    tmp_path: Path, identifier: str
) -> None:
    identifier = identifier.format(there=tmp_path)
    package = write_package(tmp_path / "brightness")
    declaration = package / "model.toml"
    declaration.write_text(declaration.read_text().replace('"brightness"', f'"{identifier}"'))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger").write_text("precious")
    with pytest.raises(ConfigError) as error:
        install(package, tmp_path / "models", verify=lambda _: None, replace=True)
    assert code(error) == "model-declaration"
    assert (tmp_path / "state" / "ledger").read_text() == "precious"


def test_a_link_out_of_the_folder_of_packages_is_not_followed(
    package: Path, tmp_path: Path
) -> None:
    models, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    models.mkdir()
    install(package, elsewhere, verify=lambda _: None)
    (models / "brightness").symlink_to(elsewhere / "brightness")
    (tmp_path / "digests.json").write_text("{}")
    for name in ("brightness", "..", "../elsewhere/brightness"):
        with pytest.raises(ConfigError) as error:
            remove(models, name)
        assert code(error) == "model-elsewhere"
    with pytest.raises(ConfigError) as error:
        install(package, models, verify=lambda _: None, replace=True)
    assert code(error) == "model-elsewhere"
    assert load_package(elsewhere / "brightness")


def newer(package: Path) -> Path:
    """Return the package as version 0.2."""
    declaration = package / "model.toml"
    declaration.write_text(declaration.read_text().replace('"0.1"', '"0.2"'))
    write_digests(package)
    return package


class PowerCut(BaseException):
    """Nothing catches it."""


def cut_the_power(*_: object) -> None:
    raise PowerCut


def test_the_next_version_trades_its_name_with_the_one_before(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    install(package, models, verify=lambda _: None)
    monkeypatch.setattr(Path, "rename", cut_the_power)  # it would take two, with nothing between
    there = install(newer(package), models, verify=lambda _: None, replace=True)
    assert there.declaration.version == "0.2"
    assert [path.name for path in models.iterdir()] == ["brightness"]


def test_what_a_power_cut_took_away_comes_back(
    package: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    install(package, models, verify=lambda _: None)
    newer(package)
    with monkeypatch.context() as patched:
        rename = Path.rename

        def once(path: Path, target: Path) -> Path:
            patched.setattr(Path, "rename", cut_the_power)
            return rename(path, target)

        patched.setattr(store, "_exchange", lambda *_: False)  # as on NFS
        patched.setattr(Path, "rename", once)
        with pytest.raises(PowerCut):
            install(package, models, verify=lambda _: None, replace=True)
    found = {one.name: one.problem.code for one in installed(models, keys) if one.problem}
    assert found == {".brightness.new": "model-cut-off", ".brightness.old": "model-cut-off"}
    with pytest.raises(Defect):
        install(package, models, verify=partial(verify_signature, keys=keys), replace=True)
    assert load_package(models / "brightness").declaration.version == "0.1"
    assert [path.name for path in models.iterdir()] == ["brightness"]


def test_what_lies_on_the_site_and_is_not_sound_is_listed_with_the_reason(
    package: Path, keys: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    install(package, models, verify=lambda _: None)
    (models / "brightness" / "signature.json").unlink()
    (one,) = installed(models, keys)
    assert one.problem
    assert one.problem.code == "model-unsigned"


def test_a_sealed_case_is_answered_as_it_was(package: Path) -> None:
    (one,) = replay(package, OnnxRuntime.load(package))
    assert (one.name, one.differing, one.is_same) == ("blocks", 0, True)
    assert one.found == np.count_nonzero(known_labels())


ASKING = """
[population]
age_years = [18, 90]
sexes = ["F"]
[protocol]
contrast = "without"
manufacturers = ["Phantom"]
slice_thickness_mm = [0.5, 2.0]
"""


def test_a_sealed_case_keeps_what_the_package_asks_for_and_nothing_else(tmp_path: Path) -> None:
    asking = write_package(tmp_path / "asking", toml=TOML + ASKING)
    volume = with_acquisition(
        volume_of(known_labels()),
        (
            "age_years=40",
            "sex=F",
            "contrast=without",
            "manufacturer=Phantom Works",
            "slice_thickness_mm=1",
            "echo_time_ms=3",
        ),
    )
    path = seal(asking, "blocks", volume=volume, runtime=OnnxRuntime.load(asking))
    write_digests(asking)
    (one,) = replay(asking, OnnxRuntime.load(asking))
    assert one.is_same
    with np.load(path) as stored:
        assert json.loads(str(stored["acquisition"]))["acquisition"] == {
            "modality": "MR",
            "manufacturer": "Phantom Works",
            "contrast": "without",
            "slice_thickness_mm": 1.0,
            "age_years": 40.0,
            "sex": "F",
        }


def test_a_case_that_was_sealed_with_its_modality_alone_is_read(package: Path) -> None:
    path = package / "test" / "blocks.npz"
    with np.load(path) as stored:
        kept = {name: stored[name] for name in ("voxels", "affine", "label_map")}
    np.savez_compressed(path, modality=np.array("MR"), **kept)
    write_digests(package)
    (one,) = replay(package, OnnxRuntime.load(package))
    assert one.is_same


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("age=40", "is it 'age_years'"),
        ("age_years=forty", "age_years: Input should be a valid number"),
        ("age_years", "age_years: Input should be a valid number"),
        ("age_years=nan", "age_years: Input should be a finite number"),
    ],
)
def test_an_acquisition_that_cannot_be_is_named(word: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        with_acquisition(volume_of(known_labels()), (word,))
    assert code(error) == "test-acquisition"


@pytest.mark.parametrize("acquisition", ["{", '{"acquisition": {"name": "Doe"}}', "[]"])
def test_a_case_with_another_acquisition_is_not_read(package: Path, acquisition: str) -> None:
    path = package / "test" / "blocks.npz"
    with np.load(path) as stored:
        kept = {name: stored[name] for name in ("voxels", "affine", "label_map")}
    np.savez_compressed(path, acquisition=np.array(acquisition), **kept)
    write_digests(package)
    with pytest.raises(ConfigError) as error:
        list(replay(package, OnnxRuntime.load(package)))
    assert code(error) == "test-unreadable"


@pytest.mark.parametrize("at", [40, 200, -30])
def test_a_case_that_is_cut_off_is_not_read(package: Path, at: int) -> None:
    path = package / "test" / "blocks.npz"
    path.write_bytes(path.read_bytes()[:at])
    write_digests(package)
    with pytest.raises(ConfigError) as error:
        list(replay(package, OnnxRuntime.load(package)))
    assert code(error) == "test-unreadable"


def test_a_network_that_answers_otherwise_is_caught(package: Path, tmp_path: Path) -> None:
    other = write_package(tmp_path / "other", slopes=(0, 10, 9))
    (one,) = replay(package, OnnxRuntime.load(other))
    assert not one.is_same
    with pytest.raises(Defect) as error:
        require_same(one)
    assert code(error) == "test-differs"


def test_a_sealed_answer_is_not_overwritten(package: Path, tmp_path: Path) -> None:
    runtime = OnnxRuntime.load(package)
    with pytest.raises(ConfigError) as error:
        seal(package, "blocks", volume=volume_of(known_labels()), runtime=runtime)
    assert code(error) == "test-exists"
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "empty.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match="empty"):
        list(replay(tmp_path, runtime))
