"""What training is made of: random changes, patches, and TOML that is written."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.training.recipe import (
    BiasField,
    Deform,
    Gain,
    Gamma,
    Mirror,
    Noise,
    Smooth,
)
from clic_edge.training.toml_text import to_toml

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from clic_edge.training.augment import Batch, augment  # noqa: E402 - needs the extra
from clic_edge.training.examples import Example  # noqa: E402 - as above
from clic_edge.training.patches import Cutter, fixed_patches  # noqa: E402 - as above

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow
SHAPE = (12, 10, 8)
RECOLOURING = (
    BiasField(kind="bias-field", deviation=0.5, probability=1),
    Gamma(kind="gamma", log_range=0.5, probability=1),
    Smooth(kind="smooth", probability=1),
    Noise(kind="noise", deviation=0.5, probability=1),
    Noise(kind="noise", deviation=0.5, counts=True, probability=1),
    Gain(kind="gain", factor=0.3, offset=0.3),
)
BENDING = Deform(kind="deform", rotation_deg=(20, 20, 20), scale=0.2, shift=0.1, bend=0.05)


def batch(count: int = 6) -> Batch:
    """Return patches whose values tell the label: 0, 10 and 20."""
    labels = torch.zeros((count, *SHAPE), dtype=torch.int64)
    labels[:, 2:7, 3:8, 1:5] = 1
    labels[:, 7:10, 2:6, 3:7] = 2
    return Batch(images=labels[:, None].float() * 10, labels=labels)


def changed(*steps: object, seed: int = 0, count: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return augment(batch(count), steps, rng, classes=3)  # type: ignore[arg-type]


def test_a_mirrored_patch_is_mirrored_with_its_labels() -> None:
    found = changed(Mirror(kind="mirror", axes=("x", "z")), count=40)
    assert torch.equal(found.images[:, 0], found.labels.float() * 10)
    kinds = {tuple(one.flatten().tolist()) for one in found.labels}
    assert len(kinds) == 4, "each axis turns by itself, and some patches stay"


def test_a_bent_patch_is_bent_with_its_labels() -> None:
    found, before = changed(BENDING, count=20), batch(20)
    assert not torch.equal(found.labels, before.labels)
    assert set(found.labels.unique().tolist()) == {0, 1, 2}
    for number in (1, 2):
        inside = found.images[:, 0][found.labels == number]
        assert abs(float(inside.median()) - 10 * number) < 3
    counts = [(one == 1).sum().item() for one in found.labels]
    assert 0.4 * 100 < min(counts) < max(counts) < 2.5 * 100


def test_a_bend_of_nothing_changes_nothing() -> None:
    found = changed(Deform(kind="deform"))
    assert torch.equal(found.labels, batch().labels)
    assert torch.allclose(found.images, batch().images, atol=1e-4)


@pytest.mark.parametrize("step", RECOLOURING, ids=lambda step: f"{step.kind}")
def test_what_changes_values_leaves_labels_alone(step: Noise) -> None:
    found = changed(step)
    assert torch.equal(found.labels, batch().labels)
    assert torch.isfinite(found.images).all()
    assert not torch.allclose(found.images, batch().images)
    if step.kind != "gain":
        never = step.model_copy(update={"probability": 0})
        assert torch.equal(changed(never).images, batch().images)


def test_the_same_generator_makes_the_same_changes() -> None:
    steps = (Mirror(kind="mirror", axes=("x",)), BENDING, *RECOLOURING)
    one, same, other = changed(*steps), changed(*steps), changed(*steps, seed=1)
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.images, other.images)


def example(shape: tuple[int, int, int]) -> Example:
    """Return an image that counts its voxels from 1, with one labelled voxel in a corner."""
    label = np.zeros(shape, np.uint8)
    label[-1, -1, -1] = 1
    image = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    return Example(name="a", image=image, label=label)


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box that holds all that is true."""
    places = np.argwhere(mask)
    ends = zip(places.min(0), places.max(0), strict=True)
    return tuple(slice(low, high + 1) for low, high in ends)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    want=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 99),
)
def test_a_patch_is_a_part_of_the_image_or_holds_all_of_it(
    shape: tuple[int, int, int], want: tuple[int, int, int], seed: int
) -> None:
    source = example(shape)
    cutter = Cutter(shape=want, foreground=0, rng=torch.Generator().manual_seed(seed))
    cut = cutter.batch([source])
    image, label = cut.images[0, 0].numpy(), cut.labels[0].numpy()
    assert image.shape == label.shape == want
    kept = image[image > 0]
    assert kept.size == np.prod([min(a, b) for a, b in zip(shape, want, strict=True)])
    box, there = box_of(np.isin(source.image, kept)), box_of(image > 0)
    assert np.array_equal(image[there], source.image[box])
    assert np.array_equal(label[there], source.label[box])


def test_patches_around_what_is_labelled_hold_it() -> None:
    source = example((30, 30, 30))
    cutter = Cutter(shape=(8, 8, 8), foreground=1, rng=torch.Generator().manual_seed(0))
    assert cutter.batch([source] * 20).labels.amax((1, 2, 3)).tolist() == [1] * 20
    assert np.array_equal(
        fixed_patches([source], (8, 8, 8), count=3), fixed_patches([source], (8, 8, 8), count=3)
    )


KEYS = st.text(min_size=1, max_size=6)
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_as_toml_reads_as_it_was(table: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(table)) == table


def test_nothing_has_no_word_in_toml() -> None:
    assert to_toml({"a": None, "b": [{"c": None, "d": 1}]}) == "[[b]]\nd = 1\n"
    with pytest.raises(TypeError, match="set"):
        to_toml({"a": set()})
