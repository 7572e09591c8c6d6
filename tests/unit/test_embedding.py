"""A package names a layer of its network: it is logged beside the features, and nothing else moves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import sqlalchemy as sa
from factories import Stack, make_series
from lines import STUDY_ID, Shelf, a_ledger, a_line, a_pipeline, a_series, a_study
from model_packages import (
    IMAGE_TOML,
    LEVELS,
    TOML,
    image_of,
    known_labels,
    volume_of,
    write_image_package,
    write_package,
)
from observed import BEGIN, STEP, acceptance, log, observations

from clic_edge.board.references import ReferenceBook
from clic_edge.board.window import Beside, window
from clic_edge.drift.plan import Policy
from clic_edge.errors import ConfigError
from clic_edge.inference.embedding import embedding_of, pooled
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import write_digests
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.pipeline.intake import intake
from clic_edge.pipeline.monitoring import freeze_references, watch_models
from clic_edge.pipeline.stages import predict

if TYPE_CHECKING:
    from clic_edge.domain.monitoring import Observation
    from clic_edge.domain.study import Series
    from clic_edge.inference.runtime import Runtime
    from clic_edge.ledger import Ledger

HIPPOCAMPUS = Path(__file__).resolve().parents[2] / "models" / "hippocampus"
NAMED = '\n[embedding]\noutput = "layer"\n'


def with_layer(folder: Path, *, channels: int = 3, first: bool = False) -> Path:
    """Return a package of brightness with another output: windows times 1, 2, 3 and so on."""
    write_package(folder, toml=TOML + NAMED)
    model = onnx.load(folder / "model.onnx")
    weights = np.arange(1, channels + 1, dtype=np.float32).reshape(channels, 1, 1, 1, 1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "by"))
    model.graph.node.append(onnx.helper.make_node("Conv", ["image", "by"], ["layer"]))
    told = onnx.helper.make_tensor_value_info("layer", 1, ["n", channels, "x", "y", "z"])
    model.graph.output.insert(0 if first else 1, told)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return OnnxRuntime.load(with_layer(tmp_path_factory.mktemp("layered")))


def test_the_answer_is_the_same_with_and_without_a_layer(layered: Runtime, tmp_path: Path) -> None:
    volume = volume_of(known_labels())
    plain = OnnxRuntime.load(write_package(tmp_path)).predict(volume)
    shown = layered.predict(volume)
    assert plain.embedding == ()
    assert len(shown.embedding) == 3
    assert np.array_equal(plain.label_map, shown.label_map)
    assert plain.segments == shown.segments
    np.testing.assert_allclose(shown.embedding, shown.embedding[0] * np.array([1, 2, 3]), 1e-4)


def test_a_layer_may_come_before_the_answer(layered: Runtime, tmp_path: Path) -> None:
    volume = volume_of(known_labels())
    turned = OnnxRuntime.load(with_layer(tmp_path, first=True)).predict(volume)
    assert np.array_equal(turned.label_map, layered.predict(volume).label_map)


def test_of_an_image_a_layer_is_pooled_over_its_pixels(tmp_path: Path) -> None:
    toml = IMAGE_TOML + NAMED.replace("layer", "redness")
    runtime = OnnxRuntime.load(write_image_package(tmp_path, toml=toml))
    red = np.zeros((16, 24), dtype=bool)
    red[:, :6] = True
    (redness,) = runtime.predict(image_of(red)).embedding
    assert redness == pytest.approx(-0.5, abs=1e-4)


def test_more_channels_than_there_is_room_for_are_averaged() -> None:
    layer = np.arange(2 * 512, dtype=np.float32).reshape(2, 512)
    rows = pooled(layer)
    assert rows.shape == (2, 256)
    assert rows[0, :2].tolist() == [0.5, 2.5]
    assert embedding_of([rows])[0] == 256.5
    assert embedding_of([rows * np.inf]) == ()


def test_a_layer_that_the_network_lacks_is_said_when_the_package_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the nearest is logits") as error:
        OnnxRuntime.load(write_package(tmp_path, toml=TOML + NAMED))
    assert error.value.code == "model-embedding"


@pytest.mark.slow
def test_a_finished_network_shows_a_layer_and_answers_bit_for_bit_as_before(tmp_path: Path) -> None:
    shipped = OnnxRuntime.load(HIPPOCAMPUS)
    folder = tmp_path / "hippocampus"
    shutil.copytree(HIPPOCAMPUS, folder)
    model = onnx.load(folder / "model.onnx")
    layer = next(
        name for node in model.graph.node for name in node.output if "bottleneck/conv2/conv" in name
    )
    model.graph.output.append(onnx.helper.make_tensor_value_info(layer, 1, None))
    onnx.save(model, folder / "model.onnx")
    toml = (folder / "model.toml").read_text() + f'\n[embedding]\noutput = "{layer}"\n'
    (folder / "model.toml").write_text(toml)
    write_digests(folder)
    with np.load(folder / "test" / "icbm152-left.npz") as sealed:
        shape, affine = sealed["voxels"].shape, sealed["affine"]
        alike = volume_of(np.zeros(shape, np.uint8), affine=affine)
        seen = replace(alike, voxels=sealed["voxels"])
    before, after = shipped.predict(seen), OnnxRuntime.load(folder).predict(seen)
    assert np.array_equal(before.label_map, after.label_map)
    assert before.segments == after.segments
    assert len(after.embedding) == 128
    assert np.std(after.embedding) > 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('runtime = "torchscript"\n' + TOML + NAMED, "needs the runtime"),
        (TOML + "\n[embedding]\noutpt = 1\n", "nearest valid one is output"),
    ],
)
def test_a_declaration_that_can_not_be_met_is_refused(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as error:
        OnnxRuntime.load(write_package(tmp_path, toml=text))
    assert error.value.code == "model-declaration"


class OneSeries(Shelf):
    """An archive of one series that the network knows."""

    def series(self, series_id: str) -> Series:  # noqa: ARG002 - there is one
        """Return it."""
        return make_series(Stack(), np.array(LEVELS, np.int16)[known_labels()])


def test_an_embedding_is_logged_as_float16_and_looked_at(layered: Runtime) -> None:
    line = a_line(a_pipeline(), shelf=OneSeries(studies={STUDY_ID: a_study(a_series())}))
    one = replace(line.pipelines[0], runtime=lambda: layered)
    line = replace(line, pipelines=(one,))
    (admitted,) = intake(STUDY_ID, line.rules, archive=line.archive, ledger=line.ledger)
    case = line.ledger.cases.begin(admitted.case_id, 0)
    assert case is not None
    predict(line, case)
    engine = line.ledger.cases._engine
    with engine.connect() as connection:
        (content,) = connection.scalars(sa.select(feature_values.c.embedding))
    assert len(content) == 2 * 3
    (row,) = line.ledger.predictions.rows(datetime.now(UTC) - timedelta(hours=1))
    assert not [name for name in (it.name for it in row.features) if "embedding" in name]
    seen, _ = line.ledger.observations.of_model(
        layered.model.digest, after=None, until=datetime.now(UTC)
    )
    assert seen.embedding == tuple(np.frombuffer(content, "<f2").tolist())
    expected = seen.embedding[0] * np.array([1, 2, 3])
    np.testing.assert_allclose(seen.embedding, expected, rtol=2e-3, atol=1e-3)


def embedded(n: int, *, first: int, shift: float) -> list[Observation]:
    """Return studies with a layer of 256 numbers, each shifted by so many sd."""
    layers = np.random.default_rng(first).normal(shift, 1, (n, 256))
    made = observations(n, begin=BEGIN + first * STEP, seed=first + 1)
    return [
        replace(one, embedding=tuple(layer.tolist()))
        for one, layer in zip(made, layers, strict=True)
    ]


@pytest.fixture(scope="module")
def watched() -> tuple[Ledger, str]:
    """Return a ledger with a reference of 300 studies, 100 alike after it, and 100 that differ."""
    ledger, digest = a_ledger(), "d" * 64
    engine = ledger.cases._engine
    log(engine, embedded(300, first=0, shift=0.0), digest=digest)
    accepted = replace(acceptance(), model_digest=digest, frozen_at=BEGIN + 300 * STEP)
    freeze_references(ledger, accepted)
    log(engine, embedded(100, first=300, shift=0.0), digest=digest)
    log(engine, embedded(100, first=400, shift=0.4), digest=digest)
    return ledger, digest


@pytest.mark.slow
@pytest.mark.parametrize(("last", "is_much"), [(400, False), (500, True)])
def test_a_page_says_whether_the_layer_has_moved(
    watched: tuple[Ledger, str], last: int, *, is_much: bool
) -> None:
    ledger, digest = watched
    days = 2  # of 48 studies each
    seen = window(
        ledger,
        ReferenceBook(ledger, Policy()),
        digest,
        asked=Beside(days=days),
        now=BEGIN + last * STEP,
    )
    assert seen.embedding is not None
    assert seen.embedding.is_much is is_much
    assert (seen.embedding.auc > 0.7) is is_much
    assert not [one for one in seen.differences if one.feature.startswith("embedding")]


def test_studies_that_the_network_sees_otherwise_are_odd_studies(
    watched: tuple[Ledger, str],
) -> None:
    ledger, _ = watched
    now = BEGIN + 501 * STEP
    found = watch_models(ledger, Policy(), now=now)
    opened = {alarm.chart for _, one in found.evaluations for alarm in one.opened}
    assert "odd.studies" in opened


def test_a_reference_seals_a_layer_in_few_digits(watched: tuple[Ledger, str]) -> None:
    ledger, _ = watched
    (reference, *_) = ledger.monitoring.references()
    sizes = {
        len(str(one)) for it in reference.numbers for one in it.values if "embedding" in it.name
    }
    assert max(sizes) <= 10, "a float16 is sealed in as many digits as it has"
