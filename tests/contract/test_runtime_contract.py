"""What every runtime keeps, whatever runs the model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import (
    IMAGE_TOML,
    TOML,
    image_of,
    known_labels,
    volume_of,
    write_image_package,
)
from runtime_packages import KINDS, KSERVE, ONNX, SLOPES, Kind

from clic_edge.domain.volume import Acquisition
from clic_edge.errors import ConfigError, Defect, Refusal
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.inference.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A sound package that was loaded."""

    kind: Kind
    folder: Path
    runtime: Runtime


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ONNX, id=ONNX.name),
        pytest.param(KSERVE, id=KSERVE.name, marks=pytest.mark.servers),
        # A process with torch takes seconds to start.
        *(
            pytest.param(kind, id=kind.name, marks=pytest.mark.slow)
            for kind in KINDS
            if kind not in (ONNX, KSERVE)
        ),
    ],
)
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param is KSERVE:
        return replace(KSERVE, site=request.getfixturevalue("triton_site"))
    return request.param  # type: ignore[no-any-return] # pytest types it as Any


@pytest.fixture(scope="module")
def loaded(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Return a sound package, loaded once: a process with torch takes seconds to start."""
    folder = tmp_path_factory.mktemp("package")
    asking = TOML.replace("[input]", '[input]\nattributes = ["echo_time_ms"]')
    kind.write(folder, toml=asking)
    return Loaded(kind=kind, folder=folder, runtime=load_runtime(folder, kind.site))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Return the same network as ONNX Runtime runs it."""
    return ONNX.load(ONNX.write(tmp_path_factory.mktemp("reference")))


def test_the_label_map_lies_on_the_volumes_own_grid(loaded: Loaded) -> None:
    volume = volume_of(known_labels())
    prediction = loaded.runtime.predict(volume)
    np.testing.assert_array_equal(prediction.label_map, known_labels())
    assert prediction.geometry is volume.geometry
    assert prediction.label_map.dtype == np.uint8
    assert not prediction.label_map.flags.writeable
    assert prediction.device == loaded.runtime.device


@pytest.mark.parametrize("axes", [(2, 1, 0), (0, 2, 1)], ids=["axial", "sagittal"])
def test_a_volume_that_lies_anywhere_gets_the_label_map_of_the_same_network_in_onnx(
    loaded: Loaded, reference: Runtime, axes: tuple[int, int, int]
) -> None:
    affine = np.diag([1.0, -1.0, -1.0, 1.0])[[*axes, 3]]
    affine[:3, 3] = (12.5, -40, 7)
    volume = volume_of(known_labels((14, 16, 18)), affine=affine)
    found = loaded.runtime.predict(volume).label_map
    expected = reference.predict(volume).label_map
    for number in (1, 2):
        both = np.count_nonzero((found == number) & (expected == number))
        dice = 2 * both / np.count_nonzero([found == number, expected == number])
        assert dice >= 0.999


def test_a_segment_counts_its_voxels_and_their_volume(loaded: Loaded) -> None:
    affine = np.diag([1.5, 1.0, 0.8, 1.0])[[2, 1, 0, 3]]
    prediction = loaded.runtime.predict(volume_of(known_labels(), affine=affine))
    for finding in prediction.segments:
        voxels = int((prediction.label_map == finding.definition.number).sum())
        assert finding.voxel_count == voxels > 0
        assert finding.volume_mm3 == pytest.approx(voxels * 1.5 * 0.8)
        assert 1 / 3 < finding.mean_probability <= 1


def test_a_segment_that_is_not_there_is_reported_as_empty(loaded: Loaded) -> None:
    two = np.minimum(known_labels(), 1)
    grey, white = loaded.runtime.predict(volume_of(two)).segments
    assert [grey.definition.name, white.definition.name] == ["grey", "white"]
    emptied = [one for one in (grey, white) if not one.voxel_count]
    assert [(one.volume_mm3, one.mean_probability) for one in emptied] == [(0, 0)]


def test_a_prediction_names_the_model_that_made_it(loaded: Loaded, tmp_path: Path) -> None:
    model = loaded.runtime.predict(volume_of(known_labels())).model
    other = loaded.kind.write(tmp_path / "b", slopes=(0, 10, 31))
    assert model == loaded.runtime.model
    assert (model.model_id, model.version, model.manufacturer) == (
        "brightness",
        "0.1",
        "Phantom Works",
    )
    assert (other / "digests.json").read_bytes() != (loaded.folder / "digests.json").read_bytes()


def test_the_same_volume_gives_the_same_prediction_from_any_thread(loaded: Loaded) -> None:
    volumes = [volume_of(np.roll(known_labels(), shift, axis=1)) for shift in range(2)]
    alone = [loaded.runtime.predict(volume) for volume in volumes] * 2
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(loaded.runtime.predict, volumes * 2))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.label_map, other.label_map)
        assert one.segments == other.segments


def test_a_model_is_told_what_its_package_asks_for_and_nothing_else(loaded: Loaded) -> None:
    full = replace(
        volume_of(known_labels()),
        acquisition=Acquisition(
            modality="MR", manufacturer="CANARY", echo_time_ms=30.0, repetition_time_ms=2000.0
        ),
        subject_id="CANARY",
        series_uid="2.25.1",
    )
    told = full.narrowed(loaded.runtime.needs)
    assert told.acquisition == Acquisition(modality="MR", echo_time_ms=30.0)
    assert (told.subject_id, told.series_uid) == ("", "")
    np.testing.assert_array_equal(loaded.runtime.predict(told).label_map, known_labels())


def test_what_the_package_does_not_take_is_refused(loaded: Loaded) -> None:
    with pytest.raises(Refusal):
        loaded.runtime.predict(volume_of(known_labels(), modality="CT"))


def test_a_package_that_changed_since_it_was_loaded_is_not_run(loaded: Loaded) -> None:
    for name in ("model.toml", loaded.kind.network):
        path = loaded.folder / name
        sound = path.read_bytes()
        path.write_bytes(sound + b"\n")
        for _ in range(2):
            with pytest.raises(Defect) as error:
                loaded.runtime.predict(volume_of(known_labels()))
            assert error.value.code == "model-changed"
        path.write_bytes(sound)
        loaded.runtime.predict(volume_of(known_labels()))


def test_a_package_that_vanished_is_not_run(loaded: Loaded) -> None:
    path = loaded.folder / loaded.kind.network
    sound = path.read_bytes()
    path.unlink()
    with pytest.raises(Defect) as error:
        loaded.runtime.predict(volume_of(known_labels()))
    assert error.value.code == "model-changed"
    path.write_bytes(sound)


@pytest.mark.parametrize("fault", ["no_numbers", "other_classes", "unreadable"])
def test_what_is_wrong_with_a_network_is_a_defect(kind: Kind, tmp_path: Path, fault: str) -> None:
    expected = getattr(kind, fault)
    if not expected:
        pytest.skip("seen of another kind")
    slopes = {"no_numbers": (0, 10, float("nan")), "other_classes": (0, 10)}.get(fault, SLOPES)
    kind.write(tmp_path, slopes=slopes)
    if fault == "unreadable":
        (tmp_path / kind.network).write_bytes(b"no network")
        write_digests(tmp_path)
    with pytest.raises((Defect, ConfigError)) as error:
        kind.load(tmp_path).predict(volume_of(known_labels()))
    assert error.value.code == expected


def test_a_package_that_names_its_runtime_runs_by_it(loaded: Loaded) -> None:
    assert type(loaded.runtime) is loaded.kind.runtime


def test_a_package_that_names_no_runtime_runs_by_onnx(tmp_path: Path) -> None:
    assert isinstance(load_runtime(ONNX.write(tmp_path)), OnnxRuntime)


def test_a_runtime_that_nobody_installed_is_named_with_the_nearest(tmp_path: Path) -> None:
    ONNX.write(tmp_path, toml='runtime = "onxx"\n' + TOML)
    with pytest.raises(ConfigError, match="'onnx'") as error:
        load_runtime(tmp_path)
    assert error.value.code == "runtime-unknown"


@pytest.mark.slow
def test_a_package_for_images_answers_in_torchscript_as_in_onnx(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    toml = IMAGE_TOML[: IMAGE_TOML.index("[[maps]]")]
    onnx = write_image_package(tmp_path / "onnx", toml=toml)
    network = """
def forward(image: Tensor) -> Tensor:
    mean = image[:, 0].mean(dim=[1, 2]).unsqueeze(1)
    return mean * torch.tensor([0.0, 4.0, 2.0, 2.0]) + torch.tensor([0.0, 0.0, 1.0, -1.0])
"""
    script = tmp_path / "script"
    script.mkdir()
    torch.jit.CompilationUnit(network).forward.save(str(script / "model.ts"))
    named = toml.replace('weights = "model.onnx"', 'runtime = "torchscript"\nweights = "model.ts"')
    (script / "model.toml").write_text(named)
    write_digests(script)
    image = image_of(np.arange(384).reshape(16, 24) % 5 < 2)
    expected, found = (load_runtime(folder).predict(image).categories for folder in (onnx, script))
    for one, other in zip(expected, found, strict=True):
        assert (one.name, one.chosen) == (other.name, other.chosen)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
