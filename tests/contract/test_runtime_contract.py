"""What every runtime keeps, whatever runs the network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import TOML, known_labels, volume_of, write_package

from clic_edge.domain.volume import Acquisition
from clic_edge.errors import ConfigError, Defect, Refusal
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.onnx import OnnxRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.inference.runtime import Runtime

    Load = Callable[[Path], Runtime]


@pytest.fixture(params=[OnnxRuntime.load], ids=["onnx"])
def load(request: pytest.FixtureRequest) -> Load:
    return request.param  # type: ignore[no-any-return] # pytest types it as Any


def test_the_label_map_lies_on_the_volumes_own_grid(load: Load, tmp_path: Path) -> None:
    volume = volume_of(known_labels())
    prediction = load(write_package(tmp_path)).predict(volume)
    np.testing.assert_array_equal(prediction.label_map, known_labels())
    assert prediction.geometry is volume.geometry
    assert prediction.label_map.dtype == np.uint8
    assert not prediction.label_map.flags.writeable


def test_a_segment_counts_its_voxels_and_their_volume(load: Load, tmp_path: Path) -> None:
    affine = np.diag([1.5, 1.0, 0.8, 1.0])[[2, 1, 0, 3]]
    prediction = load(write_package(tmp_path)).predict(volume_of(known_labels(), affine=affine))
    for finding in prediction.segments:
        voxels = int((prediction.label_map == finding.definition.number).sum())
        assert finding.voxel_count == voxels > 0
        assert finding.volume_mm3 == pytest.approx(voxels * 1.5 * 0.8)
        assert 1 / 3 < finding.mean_probability <= 1


def test_a_segment_that_is_not_there_is_reported_as_empty(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path, slopes=(0, 10, 0)))
    grey, white = runtime.predict(volume_of(known_labels())).segments
    assert [grey.definition.name, white.definition.name] == ["grey", "white"]
    assert grey.voxel_count > 0
    assert (white.voxel_count, white.volume_mm3, white.mean_probability) == (0, 0, 0)


def test_a_prediction_names_the_model_that_made_it(load: Load, tmp_path: Path) -> None:
    model = load(write_package(tmp_path / "a")).predict(volume_of(known_labels())).model
    other = load(write_package(tmp_path / "b", slopes=(0, 10, 31)))
    assert (model.model_id, model.version, model.manufacturer) == (
        "brightness",
        "0.1",
        "Phantom Works",
    )
    assert other.predict(volume_of(known_labels())).model.digest != model.digest


def test_the_same_volume_gives_the_same_prediction_from_any_thread(
    load: Load, tmp_path: Path
) -> None:
    runtime = load(write_package(tmp_path))
    volumes = [volume_of(np.roll(known_labels(), shift, axis=1)) for shift in range(3)] * 4
    alone = [runtime.predict(volume) for volume in volumes]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(runtime.predict, volumes))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.label_map, other.label_map)
        assert one.segments == other.segments


def test_a_model_is_told_what_its_package_asks_for_and_nothing_else(
    load: Load, tmp_path: Path
) -> None:
    asking = TOML.replace("[input]", '[input]\nattributes = ["echo_time_ms"]')
    volume = volume_of(known_labels())
    full = replace(
        volume,
        acquisition=Acquisition(
            modality="MR", manufacturer="CANARY", echo_time_ms=30.0, repetition_time_ms=2000.0
        ),
        subject_id="CANARY",
        series_uid="2.25.1",
    )
    runtime = load(write_package(tmp_path, toml=asking))
    told = full.narrowed(runtime.needs)
    assert told.acquisition == Acquisition(modality="MR", echo_time_ms=30.0)
    assert (told.subject_id, told.series_uid) == ("", "")
    np.testing.assert_array_equal(runtime.predict(told).label_map, known_labels())


def test_what_the_package_does_not_take_is_refused(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path))
    with pytest.raises(Refusal):
        runtime.predict(volume_of(known_labels(), modality="CT"))


@pytest.mark.parametrize("name", ["model.toml", "model.onnx"])
def test_a_package_that_changed_since_it_was_loaded_is_not_run(
    load: Load, tmp_path: Path, name: str
) -> None:
    runtime = load(write_package(tmp_path))
    runtime.predict(volume_of(known_labels()))
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b"\n")
    for _ in range(2):
        with pytest.raises(Defect) as error:
            runtime.predict(volume_of(known_labels()))
        assert error.value.code == "model-changed"


def test_a_package_that_vanished_is_not_run(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path))
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(Defect) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == "model-changed"


def test_a_package_that_was_touched_but_not_changed_still_runs(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path))
    (tmp_path / "model.onnx").touch()
    np.testing.assert_array_equal(
        runtime.predict(volume_of(known_labels())).label_map, known_labels()
    )


def test_a_network_that_returns_no_numbers_is_a_defect(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path, slopes=(0, 10, float("nan"))))
    with pytest.raises(Defect) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == "network-not-finite"


def test_a_network_with_other_classes_than_declared_is_a_defect(load: Load, tmp_path: Path) -> None:
    runtime = load(write_package(tmp_path, slopes=(0, 10)))
    with pytest.raises(Defect) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == "network-shape"


def test_a_file_that_holds_no_network_does_not_load(load: Load, tmp_path: Path) -> None:
    write_package(tmp_path, toml=TOML.replace("model.onnx", "model.toml"))
    with pytest.raises(Defect) as error:
        load(tmp_path)
    assert error.value.code == "network-unreadable"


def test_a_package_that_names_no_runtime_runs_by_onnx(tmp_path: Path) -> None:
    assert isinstance(load_runtime(write_package(tmp_path)), OnnxRuntime)


def test_a_runtime_that_nobody_installed_is_named_with_the_nearest(tmp_path: Path) -> None:
    write_package(tmp_path, toml='runtime = "onxx"\n' + TOML)
    with pytest.raises(ConfigError, match="'onnx'") as error:
        load_runtime(tmp_path)
    assert error.value.code == "runtime-unknown"
