from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import known_labels, volume_of, write_package

from clic_edge.errors import Refusal
from clic_edge.inference.gate import admit
from clic_edge.inference.package import load_package
from clic_edge.inference.transforms import network_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Input

AXIAL = np.eye(4)[[2, 1, 0, 3]]


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Input:
    return load_package(write_package(tmp_path_factory.mktemp("package"))).declaration.input


def ask(volume: Volume, declared: Input) -> None:
    grid = network_grid(
        volume.geometry, orientation=declared.orientation, spacing_mm=declared.spacing_mm
    )
    admit(volume, grid, declared)


def refusal(volume: Volume, declared: Input) -> Refusal:
    with pytest.raises(Refusal) as error:
        ask(volume, declared)
    return error.value


def with_steps(slices: float, rows: float, columns: float) -> NDArray[np.float64]:
    return AXIAL @ np.diag([slices, rows, columns, 1.0])


def test_a_volume_like_those_it_was_made_for_is_admitted(declared: Input) -> None:
    ask(volume_of(known_labels()), declared)


def test_another_modality_is_refused(declared: Input) -> None:
    error = refusal(volume_of(known_labels(), modality="CT"), declared)
    assert error.code == "modality-unsupported"
    assert error.sentence == "The series is not MR, which this model needs."


def test_thick_slices_are_refused_in_millimetres(declared: Input) -> None:
    error = refusal(volume_of(known_labels(), affine=with_steps(5.0, 1, 1)), declared)
    assert error.code == "spacing-unsupported"
    assert error.sentence == "The slices lie 5 mm apart, this model needs at most 2.0 mm."


def test_pixels_that_are_too_fine_are_refused(declared: Input) -> None:
    error = refusal(volume_of(known_labels(), affine=with_steps(1, 1, 0.25)), declared)
    assert error.sentence == "The columns lie 0.25 mm apart, this model needs at least 0.5 mm."


def test_a_steep_tilt_is_refused(declared: Input) -> None:
    angle = np.radians(30)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    error = refusal(volume_of(known_labels(), affine=turn @ AXIAL), declared)
    assert error.code == "tilt-unsupported"
    assert "30 degrees" in error.sentence


@pytest.mark.parametrize("shape", [(41, 12, 14), (10, 3, 14)])
def test_a_volume_that_is_too_large_or_too_small_is_refused(
    declared: Input, shape: tuple[int, int, int]
) -> None:
    labels = np.resize(known_labels(), shape)
    error = refusal(volume_of(labels), declared)
    assert error.code == "extent-unsupported"
    slices, rows, columns = shape
    assert f"{columns} x {rows} x {slices} mm (RAS)" in error.sentence


def test_a_volume_without_contrast_is_refused(declared: Input) -> None:
    assert refusal(volume_of(np.zeros((8, 8, 8), np.uint8)), declared).code == "voxels-constant"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(declared: Input, value: float) -> None:
    volume = volume_of(known_labels())
    voxels = volume.voxels.astype(np.float32)
    voxels[3, 3, 3] = value
    assert refusal(replace(volume, voxels=voxels), declared).code == "voxels-not-finite"
