"""What every runtime keeps of a package for images, whatever runs the network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import (
    IMAGE_TOML,
    image_of,
    known_labels,
    volume_of,
    write_image_package,
    write_package,
)

from clic_edge.domain.image import InputKind
from clic_edge.domain.volume import Acquisition
from clic_edge.errors import ClicEdgeError, ConfigError, Defect
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import PackageRuntime

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.image import Image
    from clic_edge.inference.runtime import Runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return load_runtime(write_image_package(tmp_path_factory.mktemp("redness")))


def lesion(rows: int = 32, columns: int = 48) -> NDArray[np.bool_]:
    """Return where a lesion lies: no flip maps it onto itself, and it keeps to whole blocks."""
    red = np.zeros((rows, columns), np.bool_)
    red[4:12, 8:40] = True
    red[12:20, 8:16] = True
    return red


def code_of(runtime: Runtime, image: Image) -> str:
    with pytest.raises(ClicEdgeError) as error:
        runtime.predict(image)
    return error.value.code


def test_a_mask_lies_on_the_images_own_pixels(runtime: Runtime) -> None:
    prediction = runtime.predict(image_of(lesion()))
    assert runtime.takes is InputKind.IMAGE
    np.testing.assert_array_equal(prediction.label_map[0], lesion())
    assert prediction.geometry.shape == (1, 32, 48)
    assert not prediction.geometry.in_patient
    assert not prediction.label_map.flags.writeable


def test_an_area_is_in_millimetres_only_where_the_image_tells_its_pixels_size(
    runtime: Runtime,
) -> None:
    count = int(lesion().sum())
    (known,) = runtime.predict(image_of(lesion(), spacing=(0.5, 0.2))).segments
    (unknown,) = runtime.predict(image_of(lesion())).segments
    areas = [
        (one.measurements[0].value, one.measurements[0].unit.value) for one in (known, unknown)
    ]
    assert areas == [(pytest.approx(count * 0.1), "mm2"), (count, "{pixels}")]
    assert known.volume_mm3 == 0


def test_every_category_has_its_calibrated_probability(runtime: Runtime) -> None:
    red = lesion()
    mean = 2 * red.mean() - 1
    found = {one.name: one for one in runtime.predict(image_of(red)).categories}
    malignant = 1 / (1 + np.exp(-4 * mean / 2))  # the temperature is 2
    above = [1 / (1 + np.exp(-2 * mean - offset)) for offset in (1, -1)]
    expected = {
        "benign": 1 - malignant,
        "malignant": malignant,
        "none": 1 - above[0],
        "mild": above[0] - above[1],
        "severe": above[1],
    }
    assert {name: one.probability for name, one in found.items()} == pytest.approx(
        expected, abs=1e-6
    )
    assert [name for name, one in found.items() if one.chosen] == ["benign", "none"]


def test_the_operating_point_chooses_below_a_half(runtime: Runtime) -> None:
    red = np.arange(32 * 48).reshape(32, 48) % 48 < 22  # mean a little below 0: p = 0.46
    found = {one.name: one for one in runtime.predict(image_of(red)).categories}
    assert 0.4 < found["malignant"].probability < 0.5
    assert found["malignant"].chosen
    assert not found["benign"].chosen


def test_a_heat_map_lies_on_the_image_and_says_what_its_numbers_are(runtime: Runtime) -> None:
    (one,) = runtime.predict(image_of(lesion())).maps
    assert (one.quantity.value, one.quantity.scheme) == ("130402", "DCM")
    assert one.values.shape == (1, 32, 48)
    np.testing.assert_array_equal(one.values[0] > 0, lesion())


@pytest.mark.parametrize("shape", [(31, 47), (48, 32), (17, 90), (16, 24), (8, 8)])
def test_a_mask_comes_back_from_any_shape(runtime: Runtime, shape: tuple[int, int]) -> None:
    red = np.zeros(shape, np.bool_)
    red[: shape[0] // 2, : shape[1] // 2] = True
    found = runtime.predict(image_of(red)).label_map[0] == 1
    cell = max(shape[0] / 16, shape[1] / 24, 1)  # of the image's pixels in one of the network's
    assert np.count_nonzero(found != red) <= cell * sum(shape) / 2


def test_an_image_that_the_package_does_not_take_is_refused_by_name(runtime: Runtime) -> None:
    grey = np.zeros((32, 48), np.uint8)
    grey[:8] = 9
    image = image_of(lesion())
    assert code_of(runtime, image_of(lesion(), modality="US")) == "modality-unsupported"
    assert code_of(runtime, image_of(lesion()[:7])) == "image-too-small"
    assert code_of(runtime, replace(image, pixels=grey)) == "colour-unsupported"
    white = replace(image, pixels=np.full((32, 48, 3), 255, np.uint8))
    assert code_of(runtime, white) == "colour-unsupported"


@pytest.mark.parametrize(("share", "code"), [(0.02, "colour-unsupported"), (0.05, None)])
def test_a_logo_does_not_make_an_image_a_colour_image(
    runtime: Runtime, share: float, code: str | None
) -> None:
    pixels = np.repeat(np.arange(100 * 100, dtype=np.uint8).reshape(100, 100, 1), 3, axis=2)
    pixels.reshape(-1, 3)[: int(share * 100 * 100)] = (0, 90, 200)
    image = replace(image_of(lesion()), pixels=pixels)
    if code:
        assert code_of(runtime, image) == code
    else:
        assert runtime.predict(image).categories


def test_what_the_package_asks_of_patient_and_side_is_asked_of_images_too(tmp_path: Path) -> None:
    asking = IMAGE_TOML.replace(
        "[image]",
        '[population]\nage_years = [18, 90]\n[protocol]\nlateralities = ["L", "R"]\n[image]',
    )
    runtime = load_runtime(write_image_package(tmp_path, toml=asking))
    image = image_of(lesion())
    assert runtime.needs == {"modality", "age_years", "laterality"}
    assert code_of(runtime, image) == "age-unsupported"
    grown = replace(image, acquisition=Acquisition(modality="XC", age_years=50))
    assert code_of(runtime, grown) == "laterality-unsupported"
    left = replace(image, acquisition=replace(grown.acquisition, laterality="L"))
    assert runtime.predict(left.narrowed(runtime.needs)).categories


def test_a_volume_and_an_image_are_not_mistaken_for_each_other(
    runtime: Runtime, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        runtime.predict(volume_of(known_labels()))
    assert error.value.code == "model-for-images"
    with pytest.raises(ConfigError) as error:
        load_runtime(write_package(tmp_path)).predict(image_of(lesion()))
    assert error.value.code == "model-for-volumes"


def test_a_runtime_of_volumes_alone_says_at_install_that_it_takes_no_images(
    tmp_path: Path,
) -> None:
    package = load_package(write_image_package(tmp_path))
    with pytest.raises(ConfigError) as error:
        PackageRuntime(package, None)  # type: ignore[arg-type] # it is not asked
    assert error.value.code == "model-for-images"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('activation = "ordinal"', 'activation = "softmax"'),
        ('name = "redness"\nlabel', 'name = "coldness"\nlabel'),
        ("size = [16, 24]", "size = [16, 32]"),
    ],
)
def test_a_network_that_disagrees_with_its_declaration_does_not_load(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in IMAGE_TOML
    with pytest.raises(Defect) as error:
        load_runtime(write_image_package(tmp_path, toml=IMAGE_TOML.replace(old, new)))
    assert error.value.code in {"network-shape", "network-failed"}


def test_an_image_is_told_no_more_than_the_package_asks_for() -> None:
    image = image_of(lesion())
    full = replace(image, acquisition=Acquisition(modality="XC", manufacturer="CANARY"))
    told = full.narrowed({"modality"})
    assert told.acquisition == Acquisition(modality="XC")
    assert (told.subject_id, told.series_uid) == ("", "")
