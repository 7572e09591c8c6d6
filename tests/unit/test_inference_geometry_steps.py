"""Geometry steps: MONAI's transforms of the same meaning do the same, and all else is named.

Numbers and affines are compared on oblique grids of odd sizes. Where ours differ from MONAI's on
purpose (decision 0020), a test says how.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from clic_edge.domain.volume import Geometry, Volume
from clic_edge.errors import ConfigError, Refusal
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.geometry_steps import GEOMETRY_STEPS
from clic_edge.inference.intensity import INTENSITY_STEPS
from clic_edge.inference.made_up import made_up
from clic_edge.inference.transforms import laid_out, network_grid
from clic_edge.inference.volume_input import Input

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from numpy.typing import NDArray

    from clic_edge.inference.transforms import NetworkGrid

    Told = Mapping[str, object]

ROOT = Path(__file__).resolve().parents[2]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENT: Told = {"step": "orient"}
WANTED = (1.21, 0.93, 1.73)
SHAPE = (17, 22, 19)


def declared(*steps: Told, spacing_mm: tuple[float, ...] = WANTED) -> Input:
    return Input.model_validate(
        {
            "modality": "CT",
            "orientation": "RAS",
            "spacing_mm": spacing_mm,
            "source_spacing_mm": (0.1, 9.0),
            "smallest_mm": (1.0,) * 3,
            "largest_mm": (900.0,) * 3,
            "largest_tilt_deg": 40.0,
            "geometry": steps,
        }
    )


def oblique() -> Geometry:
    """Return slices from the feet up, as DICOM has them, turned by some degrees."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (7, -5, 11), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([0.8, 0.8, 2.5])[:, [2, 1, 0]]
    affine[:3, 3] = (-31.0, 12.0, 55.0)
    return Geometry(affine=affine, shape=SHAPE)


def smooth(seed: int = 3) -> NDArray[np.float32]:
    """Return a body of 300 to 900 within air, on which a fraction of a voxel shows."""
    z, y, x = (np.linspace(-1, 1, size) for size in SHAPE)
    waves = np.cos(5 * z)[:, None, None] + np.sin(7 * y)[None, :, None] * np.cos(4 * x)
    body = 600 + 150 * waves + np.random.default_rng(seed).normal(0, 5, SHAPE)
    body[:3] = body[:, :4] = body[:, :, -5:] = -1000
    return body.astype(np.float32)


def ours(*steps: Told) -> tuple[NDArray[np.float32], NDArray[np.float64], NetworkGrid]:
    voxels = smooth()
    grid = laid_out(voxels, oblique(), declared(*steps))
    return grid.to_network(voxels), LPS_TO_RAS @ grid.affine(oblique()), grid


def theirs(*transforms: object) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    monai = pytest.importorskip("monai")
    image = monai.data.MetaTensor(smooth()[None], affine=LPS_TO_RAS @ oblique().affine)
    for transform in transforms:
        image = transform(image)  # type: ignore[operator] # MONAI's transforms are callable
    return image.array[0], np.asarray(image.affine, np.float64)


@pytest.fixture
def monai() -> ModuleType:
    return pytest.importorskip("monai.transforms")  # type: ignore[no-any-return] # a module


def require_equal(
    found: tuple[NDArray[np.float32], NDArray[np.float64], NetworkGrid],
    expected: tuple[NDArray[np.float32], NDArray[np.float64]],
    *,
    atol: float = 2e-3,
) -> None:
    assert found[0].shape == expected[0].shape == found[2].shape
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    np.testing.assert_allclose(found[0], expected[0], atol=atol, rtol=1e-5 if atol else 0)


@pytest.mark.slow
def test_orient_is_monais_orientation(monai: ModuleType) -> None:
    require_equal(ours(ORIENT), theirs(monai.Orientation("RAS", labels=None)), atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "mode", "padding"),
    [(0, "nearest", "border"), (1, "bilinear", "border"), (3, 3, "nearest")],
)
def test_resample_is_monais_spacing(
    monai: ModuleType, order: int, mode: str | int, padding: str
) -> None:
    require_equal(
        ours(ORIENT, {"step": "resample", "order": order}),
        theirs(
            monai.Orientation("RAS", labels=None),
            monai.Spacing(WANTED, mode=mode, padding_mode=padding),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize("margin_mm", [0.0, 2.4])
def test_crop_foreground_is_monais(monai: ModuleType, margin_mm: float) -> None:
    margin = [int(np.ceil(margin_mm / step)) for step in (0.8, 0.8, 2.5)]
    require_equal(
        ours(ORIENT, {"step": "crop-foreground", "above": -500, "margin_mm": margin_mm}),
        theirs(
            monai.Orientation("RAS", labels=None),
            monai.CropForeground(lambda x: x > -500, margin=margin, allow_smaller=True),
        ),
        atol=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(24, 10, 33), (16, 22, 9)])
@pytest.mark.parametrize("smoothing", ["sharp", "anti-aliased"])
def test_resize_is_monais(monai: ModuleType, shape: tuple[int, int, int], smoothing: str) -> None:
    anti_alias = smoothing == "anti-aliased"
    found = ours(ORIENT, {"step": "resize", "shape": shape, "anti_alias": anti_alias})
    expected = theirs(
        monai.Orientation("RAS", labels=None),
        monai.Resize(shape, mode="trilinear", align_corners=False, anti_aliasing=anti_alias),
    )
    if not anti_alias:
        require_equal(found, expected)
        return
    # MONAI takes what lies beyond the volume for 0, and its Gaussian does not add up to 1.
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    inner = (slice(4, -4), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(found[0][inner], expected[0][inner], rtol=3e-4, atol=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "told", [{"shape": (30, 20, 25)}, {"multiple": 16}], ids=["shape", "multiple"]
)
def test_pad_is_monais(monai: ModuleType, told: Told) -> None:
    pad = (
        monai.SpatialPad(told["shape"], value=-1000)
        if "shape" in told
        else monai.DivisiblePad(told["multiple"], value=-1000)
    )
    require_equal(
        ours(ORIENT, {"step": "pad", "value": -1000, **told}),
        theirs(monai.Orientation("RAS", labels=None), pad),
        atol=0,
    )


@pytest.mark.slow
def test_a_whole_chain_is_monais(monai: ModuleType) -> None:
    found = ours(
        ORIENT,
        {"step": "crop-foreground", "above": -500, "margin_mm": 0},
        {"step": "resample", "order": 1},
        {"step": "pad", "multiple": 8, "value": -1000},
        {"step": "resize", "shape": (20, 21, 22)},
    )
    expected = theirs(
        monai.Orientation("RAS", labels=None),
        monai.CropForeground(lambda x: x > -500),
        monai.Spacing(WANTED),
        monai.DivisiblePad(8, value=-1000),
        monai.Resize((20, 21, 22), mode="trilinear", align_corners=False),
    )
    require_equal(found, expected)


def test_smoothing_before_going_coarser_keeps_a_false_pattern_away() -> None:
    stripes = np.tile([0.0, 100.0], 30)[None, None].repeat(3, 0).astype(np.float32)
    geometry = Geometry(affine=np.diag([-1.0, -1.0, 1.0, 1.0]), shape=(3, 1, 60))
    sharp, soft = (
        laid_out(
            stripes,
            geometry,
            declared(
                ORIENT, {"step": "resample", "anti_alias": smoothed}, spacing_mm=(1.0, 1.0, 2.0)
            ),
        ).to_network(stripes)
        for smoothed in (False, True)
    )
    assert np.ptp(sharp) == 0  # every second voxel: the stripes are gone, and their mean is wrong
    assert sharp.mean() == 0
    far = soft[:, :, 3:-3]
    assert far.mean() == pytest.approx(50, abs=20)
    assert far.mean() > sharp.mean() + 20


def test_no_list_is_orient_and_average() -> None:
    voxels = smooth()
    listed = laid_out(voxels, oblique(), declared(ORIENT, {"step": "average"}))
    plain = laid_out(voxels, oblique(), declared())
    known = network_grid(oblique(), orientation="RAS", spacing_mm=WANTED)
    for grid in (listed, plain):
        np.testing.assert_array_equal(grid.to_network(voxels), known.to_network(voxels))
        assert (grid.shape, grid.spacing_mm) == (known.shape, known.spacing_mm)


def test_a_volume_without_foreground_is_refused() -> None:
    with pytest.raises(Refusal) as refusal:
        ours(ORIENT, {"step": "crop-foreground", "above": 5000})
    assert refusal.value.code == "foreground-missing"


def test_a_mask_is_padded_with_nothing() -> None:
    grid = ours(ORIENT, {"step": "pad", "multiple": 32, "value": -1000})[2]
    shares = grid.to_network(smooth() > 0)
    assert (shares.min(), shares.max()) == (0, 1)
    assert shares.sum() == (smooth() > 0).sum()


@pytest.mark.parametrize(
    "steps",
    [
        [{"step": "resample"}],
        [ORIENT, ORIENT],
        [{"step": "average"}, ORIENT],
        [ORIENT, {"step": "resampel"}],
        [ORIENT, {"step": "resample", "order": 2}],
        [ORIENT, {"step": "crop-foreground"}],
        [ORIENT, {"step": "crop-foreground", "above": 0, "margin_mm": -1}],
        [ORIENT, {"step": "pad"}],
        [ORIENT, {"step": "pad", "multiple": 8, "shape": (8, 8, 8)}],
        [ORIENT, {"step": "resize", "shape": (8, 8, 0)}],
    ],
)
def test_steps_that_make_no_sense_are_not_taken(steps: list[Told]) -> None:
    with pytest.raises(ValidationError):
        declared(*steps)


def test_every_step_and_each_of_its_keys_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "how-to" / "model-packages.md").read_text(encoding="utf-8")
    for name, table in {**GEOMETRY_STEPS, **INTENSITY_STEPS}.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{key}`" in row for key in table.model_fields if key != "step"), name
    (example,) = re.findall(r"```toml\n(\[\[input\.geometry.*?)```", page, re.DOTALL)
    known = declared().model_dump()
    Input.model_validate({**known, **tomllib.loads(example)["input"]})


def test_an_unknown_step_is_named_with_the_nearest_valid_one(tmp_path: Path) -> None:
    template = ROOT / "src" / "clic_edge" / "inference" / "template" / "model.toml"
    for wrong, right, key in (
        ("orientt", "orient", "geometry.0"),
        ("zscore", "z-score", "intensity.1"),
    ):
        path = tmp_path / "model.toml"
        path.write_text(template.read_text().replace(f'step = "{right}"', f'step = "{wrong}"'))
        with pytest.raises(ConfigError) as error:
            read_declaration(path)
        assert f"input.{key}: unknown step {wrong}; the nearest valid one is {right}" in (
            error.value.sentence
        )


def test_what_is_made_up_to_measure_a_package_has_foreground(tmp_path: Path) -> None:
    template = ROOT / "src" / "clic_edge" / "inference" / "template" / "model.toml"
    path = tmp_path / "model.toml"
    crop = 'step = "crop-foreground"\nabove = 2000\n'
    path.write_text(template.read_text().replace('step = "average"', crop))
    package = read_declaration(path)
    for volume in made_up(package):
        assert isinstance(volume, Volume)
        assert laid_out(volume.voxels, volume.geometry, package.input).shape
