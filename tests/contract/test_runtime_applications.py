"""Applications by MONAI Deploy's contract: what they are promised, and what they may get wrong."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from applications import HIPPOCAMPUS, write_application
from model_packages import TOML, known_labels, volume_of
from runtime_packages import write_map

from clic_edge.domain.volume import Acquisition, Geometry
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.application import ApplicationRuntime
from clic_edge.inference.container import Container
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import write_digests
from clic_edge.inference.site import Site

if TYPE_CHECKING:
    from clic_edge.domain.volume import Volume

PROLOGUE = """
import json, os, time
from pathlib import Path
out = Path(os.environ["HOLOSCAN_OUTPUT_PATH"])
read = Path(os.environ["HOLOSCAN_INPUT_PATH"])
"""
COPY = "(out / 'a_seg.nii.gz').write_bytes((read / 'image.nii.gz').read_bytes())\n"
DAMAGED = "(out / 'a.nii.gz').write_bytes(bytes([31, 139, 8] + 7 * [0] + 400 * [255]))"
NIFTI = [{"data": {"format": ["nifti"]}}]


def package(folder: Path, script: str, *, timeout: int = 60, **app: object) -> Path:
    write_application(folder / "map", PROLOGUE + script, formats=NIFTI, timeout=timeout, **app)
    named = TOML.replace('"model.onnx"', '"map"')
    (folder / "model.toml").write_text('runtime = "monai-map"\n' + named)
    write_digests(folder)
    return folder


def axial(sealed: Path) -> Volume:
    """Return the sealed head as axial slices from foot to head, no larger than one window."""
    with np.load(sealed) as stored:
        voxels = stored["voxels"][:, :, :40].transpose(2, 1, 0)[:, ::-1, ::-1]
    affine = np.array([[0, 0, 1, -20], [0, 1, 0, -31.5], [1, 0, 0, -34], [0, 0, 0, 1.0]])
    voxels = np.ascontiguousarray(voxels)
    voxels.flags.writeable = affine.flags.writeable = False
    return replace(
        volume_of(np.zeros(voxels.shape, np.uint8)),
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        acquisition=Acquisition(modality="MR"),
    )


@pytest.mark.slow
def test_an_application_from_dicom_to_seg_finds_what_its_network_finds_in_onnx(
    root: Path, tmp_path: Path
) -> None:
    source = root / "models" / "hippocampus"
    write_application(tmp_path / "map", HIPPOCAMPUS, formats=["file"])
    models = tmp_path / "map" / "opt" / "holoscan" / "models" / "hippocampus"
    models.mkdir()
    shutil.copy(source / "model.onnx", models)
    declared = (source / "model.toml").read_text(encoding="utf-8")
    named = declared.replace('weights = "model.onnx"', 'runtime = "monai-map"\nweights = "map"')
    (tmp_path / "model.toml").write_text(named, encoding="utf-8")
    write_digests(tmp_path)
    volume = axial(source / "test" / "icbm152-left.npz")
    found = ApplicationRuntime.load(tmp_path).predict(volume).label_map
    expected = OnnxRuntime.load(source).predict(volume).label_map
    for number in (1, 2):
        both = np.count_nonzero((found == number) & (expected == number))
        assert 2 * both / np.count_nonzero([found == number, expected == number]) >= 0.999


def test_an_application_is_told_where_everything_is_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIC_EDGE_SECRET", "secret")
    script = """
told = {name: value for name, value in os.environ.items() if name.startswith("HOLOSCAN_")}
assert Path.cwd() == Path(told["HOLOSCAN_WORKDIR"]) == out.parent == read.parent
assert (Path(told["HOLOSCAN_APPLICATION"]) / "__main__.py").is_file()
assert Path(told["HOLOSCAN_MODEL_PATH"]).is_dir()
assert Path(told["HOLOSCAN_CONFIG_PATH"]).is_file()
for name in ("APP", "PKG"):
    json.loads(Path(told[f"HOLOSCAN_{name}_MANIFEST_PATH"]).read_text())
assert Path(told["HOLOSCAN_LOGS_PATH"]).is_dir()
assert os.environ["MY_OWN"] == "42"
assert "CLIC_EDGE_SECRET" not in os.environ
import nibabel, numpy
image = nibabel.load(read / "image.nii.gz")
nibabel.save(nibabel.Nifti1Image(0 * numpy.asarray(image.dataobj), image.affine), out / "a.nii")
"""
    folder = package(tmp_path, script, environment={"MY_OWN": "42"})
    prediction = ApplicationRuntime.load(folder).predict(volume_of(known_labels()))
    assert [one.voxel_count for one in prediction.segments] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", "application-output"),
        ("raise SystemExit(3)", "application-failed"),
        ("os.abort()", "application-failed"),
        ("time.sleep(60)", "runtime-timeout"),
        (COPY, "runtime-labels"),
        ("(out / 'a.nii').write_bytes(b'no image')", "application-output"),
        ("(out / 'a.dcm').write_bytes(b'no image')", "application-output"),
        (
            COPY + "os.rename(out / 'a_seg.nii.gz', out / 'b_seg.nii.gz')\n" + COPY,
            "application-output",
        ),
        ("os.symlink('/etc/passwd', out / 'a.nii')", "application-output"),
        (DAMAGED, "application-output"),
    ],
    ids=["nothing", "status", "crash", "hangs", "labels", "nifti", "dicom", "two", "link", "zlib"],
)
def test_what_an_application_gets_wrong_is_a_defect_of_the_case(
    tmp_path: Path, script: str, code: str
) -> None:
    timeout = 1 if code == "runtime-timeout" else 60
    runtime = ApplicationRuntime.load(package(tmp_path, script, timeout=timeout))
    with pytest.raises(Defect) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == code


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (None, "model-incomplete"),
        ("no JSON", "model-application"),
        ('{"command": "", "input": {}, "output": {}}', "model-application"),
        ('{"input": {}, "output": {}}', "model-application"),
        ('{"command": "[\\"python3", "input": {}, "output": {}}', "model-application"),
    ],
)
def test_a_manifest_that_is_none_is_said_when_the_package_is_loaded(
    tmp_path: Path, manifest: str | None, code: str
) -> None:
    folder = package(tmp_path, "")
    path = folder / "map" / "etc" / "holoscan" / "app.json"
    path.write_text(manifest) if manifest else path.unlink()
    write_digests(folder)
    with pytest.raises(ConfigError) as error:
        ApplicationRuntime.load(folder)
    assert error.value.code == code


IDENTITY = "sha256:" + 64 * "a"
ENGINE = """#!{python}
import json, os, subprocess, sys
words = sys.argv[1:]
with open("{log}", "a") as log:
    log.write(json.dumps(words) + "\\n")
if words[0] == "load":
    print("Loaded image: localhost/brightness:1.0")
if words[:2] == ["image", "inspect"]:
    print("{identity}")
if words[0] == "run":
    given = lambda name: [words[i + 1] for i, word in enumerate(words) if word == name]
    mounts = [volume.split(":") for volume in given("--volume")]
    mounts.append(("{root}/opt/holoscan", "/opt/holoscan", "ro"))
    def here(text):
        for outside, inside, _ in mounts:
            text = outside + text[len(inside):] if text.startswith(inside) else text
        return text
    told = dict(item.split("=", 1) for item in given("--env"))
    image = words.index("{identity}")
    environment = {{name: here(value) for name, value in told.items()}}
    sys.exit(subprocess.call([here(word) for word in words[image + 1:]], env=os.environ | environment))
"""


@pytest.mark.slow
def test_an_application_that_carries_its_container_is_run_by_an_engine_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is a stand-in that reads podman's options: there is none where tests run."""
    folder = write_map(tmp_path / "package")
    (folder / "map" / "image.tar").write_bytes(b"an image")
    write_digests(folder)
    log = tmp_path / "engine.log"
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    program.write_text(
        ENGINE.format(python=sys.executable, log=log, root=folder / "map", identity=IDENTITY)
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{Path(sys.executable).parent}:/usr/bin:/bin")
    prediction = ApplicationRuntime.load(folder).predict(volume_of(known_labels()))
    np.testing.assert_array_equal(prediction.label_map, known_labels())
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [words[0] for words in said] == ["info", "load", "image", "run", "rm"]
    run = " ".join(said[3])
    for promise in ("--network none", "--cap-drop ALL", "--read-only", "--memory 16384m"):
        assert promise in run
    assert said[3][said[3].index("--name") + 1] == said[4][-1]


def test_an_image_is_run_by_its_digest_whatever_takes_its_name_later(tmp_path: Path) -> None:
    engine, names = tmp_path / "podman", tmp_path / "names"
    engine.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = load ]; then cat "$3" > {names}; echo "Loaded image: localhost/app:latest"\n'
        f"else cat {names}; fi\n"
    )
    engine.chmod(0o755)
    loaded = []
    for digit in "ab":
        archive = tmp_path / f"{digit}.tar"
        archive.write_text(64 * digit)
        loaded.append(Container.loaded(str(engine), archive).image)
    assert loaded == [64 * "a", 64 * "b"]


def test_a_container_alone_needs_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = write_map(tmp_path / "package")
    (folder / "map" / "image.tar").write_bytes(b"an image")
    shutil.rmtree(folder / "map" / "opt")
    write_digests(folder)
    with pytest.raises(ConfigError) as error:
        ApplicationRuntime.load(folder)
    assert error.value.code == "runtime-engine"


def test_an_archive_that_holds_no_image_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(Defect) as error:
        Container.loaded("/bin/true", tmp_path / "image.tar")
    assert error.value.code == "network-unreadable"


@pytest.mark.slow
def test_an_application_may_not_take_longer_than_the_site_allows(tmp_path: Path) -> None:
    folder = package(tmp_path, "time.sleep(60)", timeout=0)
    runtime = ApplicationRuntime.load(folder, Site(seconds=1))
    with pytest.raises(Defect) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == "runtime-timeout"
