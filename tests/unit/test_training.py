"""A package learns: the same each time, from what it will see, and into a package that says so."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from model_packages import TOML, known_labels
from source import ROOT
from training_lessons import RECIPE, Quiet, write_boxes, write_labelled, write_lesson
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.archive import pack
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.lineage import Part, read_lineage
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.onnx import OnnxNetwork
from clic_edge.inference.package import load_package, write_digests
from clic_edge.inference.predicting import PackageRuntime
from clic_edge.inference.testset import replay, seal
from clic_edge.inference.windowed import Windowed
from clic_edge.training import extra
from clic_edge.training.packaging import next_version
from clic_edge.training.recipe import Split, read_recipe
from clic_edge.validation.folder import read_case
from clic_edge.validation.validate import validate

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from clic_edge.training.examples import example_of  # noqa: E402 - needs the extra
from clic_edge.training.export import largest_difference, write_onnx  # noqa: E402 - as above
from clic_edge.training.learning import Epoch, Learner, Lesson  # noqa: E402 - as above
from clic_edge.training.looking import TorchNetwork  # noqa: E402 - as above
from clic_edge.training.material import CaseFile, read_material, split_cases  # noqa: E402 - as above
from clic_edge.training.networks import (  # noqa: E402 - as above
    as_exported,
    build_network,
    fill_from_onnx,
)
from clic_edge.training.patches import random_windows  # noqa: E402 - as above
from clic_edge.training.planning import Order, plan_training  # noqa: E402 - as above
from clic_edge.training.train import Trained, train  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.training.recipe import Network


pytestmark = pytest.mark.slow
NOISE = np.random.default_rng(5)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_lesson(tmp_path_factory.mktemp("lesson") / "brightness")
    data = write_boxes(tmp_path_factory.mktemp("sealed"), "a")
    volume = read_case(data, "a", modality="MR").volume
    seal(folder, "phantom", volume=volume, runtime=load_runtime(folder))
    write_digests(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_boxes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(package: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(package, data, tmp_path_factory.mktemp("out"))


def run(package: Path, data: Path, out: Path, **more: int) -> Trained:
    plan = plan_training(Order(package=package, data=data, out=out, **more))
    return train(plan, Quiet(), resume=False)


def weights(done: Trained) -> bytes:
    return (done.package / "model.onnx").read_bytes()


def fails(code: str, action: Callable[[], object]) -> str:
    with pytest.raises((ConfigError, Defect)) as error:
        action()
    assert error.value.code == code
    return error.value.sentence


# --- the same again


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    trained: Trained, package: Path, data: Path, tmp_path: Path
) -> None:
    again = run(package, data, tmp_path / "again")
    assert weights(again) == weights(trained)
    assert again.run.name == trained.run.name
    other = run(package, data, tmp_path / "other", seed=8)
    assert weights(other) != weights(trained)
    assert other.run.name != trained.run.name


def test_a_run_that_was_begun_is_only_gone_on_with_when_asked(
    trained: Trained, package: Path, data: Path
) -> None:
    plan = plan_training(Order(package=package, data=data, out=trained.run.parents[1]))
    assert "--resume" in fails("run-exists", lambda: train(plan, Quiet(), resume=False))
    before = (weights(trained), (trained.run / "metrics.csv").read_text())
    quiet = Quiet()
    again = train(plan, quiet, resume=True)
    assert quiet.batches == 0, "a run that is over learns nothing more"
    assert again.package == trained.package, "and makes no second package"
    assert (weights(again), (again.run / "metrics.csv").read_text()) == before


def test_a_checkpoint_that_is_none_is_named(package: Path, data: Path, tmp_path: Path) -> None:
    plan = plan_training(Order(package=package, data=data, out=tmp_path))
    plan.run.folder.mkdir(parents=True)
    plan.run.checkpoint.write_bytes(b"not a checkpoint")
    fails("checkpoint-unreadable", lambda: train(plan, Quiet(), resume=True))


# --- what it sees


def recorded(package: Path, data: Path, name: str) -> NDArray[np.float32]:
    """Return the one window that the network sees of a case when the package runs."""
    loaded, seen = load_package(package), []
    network = OnnxNetwork(loaded.weights_path)

    class Recording:
        device = "cpu"

        def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
            seen.extend(windows[:, 0].copy())
            return network(windows)

    runtime = PackageRuntime(loaded, Windowed(Recording(), loaded.declaration))
    runtime.predict(read_case(data, name, modality=loaded.declaration.input.modality).volume)
    (window,) = seen
    return window


PET = TOML.replace('modality = "MR"', 'modality = "PT"\nquantity = "suv-bw"').replace(
    "clip-percentiles", "clip"
)


@pytest.mark.parametrize("toml", [TOML, PET], ids=["MR", "PET"])
def test_training_sees_what_the_network_sees_when_the_package_runs(
    toml: str, tmp_path: Path
) -> None:
    wide = toml.replace("shape = [8, 8, 8]", "shape = [64, 64, 64]")
    package = write_lesson(tmp_path / "package")
    (package / "model.toml").write_text(wide)
    write_digests(package)
    labels = known_labels()
    image = np.random.default_rng(1).gamma(2, 40, labels.shape)
    # Axes in another order, one of them the other way round, and finer slices: all is resampled.
    affine = np.array([[0, 0, 1.6, 3], [-0.8, 0, 0, 1], [0, 1.3, 0, -9], [0, 0, 0, 1.0]])
    write_labelled(tmp_path / "data", "a", image, labels, affine=affine)
    declared = read_declaration(package / "model.toml")
    case = read_case(tmp_path / "data", "a", modality=declared.input.modality)
    example = example_of(case, declared)
    window = recorded(package, tmp_path / "data", "a")
    inside = tuple(
        slice((have - want) // 2, (have - want) // 2 + want)
        for have, want in zip(window.shape, example.image.shape, strict=True)
    )
    assert example.image.shape != labels.shape
    assert np.array_equal(window[inside], example.image), "bit for bit"
    assert np.count_nonzero(window) == np.count_nonzero(example.image), (
        "padding is all that is left"
    )


def test_labels_lie_where_the_image_has_them(tmp_path: Path) -> None:
    labels = known_labels()
    image = np.array([0, 100, 500])[labels]
    affine = np.array([[0, 0, 1.5, 3], [-0.75, 0, 0, 1], [0, 1.5, 0, -9], [0, 0, 0, 1.0]])
    write_labelled(tmp_path, "a", image, labels, affine=affine)
    declared = read_declaration(write_lesson(tmp_path / "package") / "model.toml")
    example = example_of(read_case(tmp_path, "a", modality="MR"), declared)
    assert example.label.shape == example.image.shape
    means = [example.image[example.label == number].mean() for number in range(3)]
    assert means == sorted(means)
    volume = np.bincount(labels.ravel()) * 1.5 * 1.5 * 0.75
    assert np.bincount(example.label.ravel())[1:] == pytest.approx(volume[1:], rel=0.25)


def test_a_case_that_the_package_would_refuse_is_not_learned_from(
    package: Path, tmp_path: Path
) -> None:
    data = write_boxes(tmp_path / "data")
    write_labelled(data, "k", NOISE.random((60, 9, 9)), np.zeros((60, 9, 9), np.uint8))
    plan = plan_training(Order(package=package, data=data, out=tmp_path, epochs=1))
    quiet = Quiet()
    train(plan, quiet, resume=False)
    assert [said.split()[0] for said in quiet.said if "left out" in said] == ["k"]


def test_a_label_that_is_no_segment_stops_the_run(package: Path, tmp_path: Path) -> None:
    data = write_boxes(tmp_path / "data")
    write_labelled(data, "k", NOISE.random((9, 9, 9)), np.full((9, 9, 9), 3, np.uint8))
    fails("validation-label", lambda: run(package, data, tmp_path))


# --- who is learned from


def test_the_cases_of_a_subject_stay_together(tmp_path: Path) -> None:
    data = write_boxes(tmp_path)
    lines = "".join(f"{name},{'same' if name in 'bdfh' else name}\n" for name in "abcdefghij")
    (data / "subjects.csv").write_text(f"name,subject\n{lines}")
    material = read_material(data, read_recipe(write_lesson(tmp_path / "p")).data)
    found = set()
    for seed in range(12):
        parts = split_cases(material.cases, Split(held_out=0.3, stopping=0.3), seed=seed)
        by_part = (parts.train, parts.stopping, parts.held_out)
        assert sorted(one.name for part in by_part for one in part) == list("abcdefghij")
        (place,) = [i for i, part in enumerate(by_part) if {"b"} & {one.name for one in part}]
        assert set("bdfh") <= {one.name for one in by_part[place]}
        assert split_cases(material.cases, Split(held_out=0.3, stopping=0.3), seed=seed) == parts
        found.add(place)
    assert len(found) > 1


def test_a_package_keeps_to_the_split_that_it_ships(package: Path, data: Path) -> None:
    (package / "split.json").write_text(
        json.dumps({"train": list("abcdefgh"), "validation": ["i", "j"]})
    )
    try:
        plan = plan_training(Order(package=package, data=data, out=data))
        assert [one.name for one in plan.parts.held_out] == ["i", "j"]
        assert len(plan.parts.stopping) == 2
    finally:
        (package / "split.json").unlink()


def test_a_subject_that_was_learned_from_is_not_held_out_with_its_next_study(
    tmp_path: Path,
) -> None:
    """`retrain` names a case of a cohort after its subject and its prediction."""
    shipped = tmp_path / "split.json"
    shipped.write_text(json.dumps({"train": ["s1-0000aaaa", "s2-0000bbbb"], "validation": []}))
    cases = [
        CaseFile(folder=tmp_path, name=f"s{n}-1111cccc", subject=f"s{n}", digest=str(n))
        for n in range(1, 13)
    ]
    split = Split(held_out=0.5, stopping=0)
    for seed in range(8):
        parts = split_cases(cases, split, seed=seed, shipped=shipped)
        assert not {"s1", "s2"} & {one.subject for one in parts.held_out}
        assert len(parts.held_out) == 5


def test_a_split_that_leaves_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    material = read_material(data, read_recipe(write_lesson(tmp_path / "p")).data)
    with pytest.raises(ConfigError, match="training-split"):
        split_cases(material.cases[:1], Split(held_out=0.5, stopping=0), seed=0)


def test_a_cohort_without_outlines_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    sentence = fails("training-unlabelled", lambda: run(package, tmp_path, tmp_path / "out"))
    assert "retrain" in sentence


# --- when it stops


def epoch(number: int, dice: float | None) -> Epoch:
    seen = None if dice is None else (dice, dice)
    return Epoch(epoch=number, loss=1, rate=1, seconds=1, dice=seen)


def test_learning_stops_when_nothing_got_better_and_takes_the_best(tmp_path: Path) -> None:
    package = write_lesson(tmp_path / "p", recipe=RECIPE.replace("epochs = 4", "epochs = 99"))
    recipe = read_recipe(package)
    declared = read_declaration(package / "model.toml")
    learner = Learner(Lesson(recipe=recipe, declared=declared, examples=()))
    values = (None, 0.5, None, 0.7, None, 0.6, None, 0.7, None, 0.1, None)
    for number, dice in enumerate(values, 1):
        row = epoch(number, dice)
        learner._keep_the_best(row)
        learner.history.append(row)
        assert not learner.is_done
    learner.history.append(epoch(12, 0.69))
    assert learner.is_done, "four looks in a row without anything better"
    assert learner.best_epoch == 4


def test_a_loss_that_is_no_number_ends_the_run(data: Path, tmp_path: Path) -> None:
    wild = RECIPE.replace("rate = 2e-2", "rate = 1e30").replace("epochs = 4", "epochs = 9")
    package = write_lesson(tmp_path / "p", recipe=wild)
    assert "lower rate" in fails("training-diverged", lambda: run(package, data, tmp_path))
    assert not list(tmp_path.glob("brightness-*"))


# --- what comes out


def test_it_learns_and_its_records_are_plain_files(trained: Trained) -> None:
    rows = list(csv.DictReader((trained.run / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert [bool(row["dice"]) for row in rows] == [False, True, False, True]
    assert set(rows[0]) >= {"dice.grey", "dice.white", "rate", "seconds"}
    picture = (trained.run / "curves.svg").read_text()
    assert picture.startswith("<?xml")
    assert picture.rstrip().endswith("</svg>")
    lines = (trained.run / "log.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[:4] == ["begins", "learned", "exported", "packaged"]
    settings = tomllib.loads((trained.run / "settings.toml").read_text())
    assert settings["recipe"]["stopping"] == {"every": 2, "patience": 4}
    assert settings["recipe"]["seed"] == 7


def test_the_package_is_whole_and_says_how_good_it_is(trained: Trained, data: Path) -> None:
    loaded = load_package(trained.package)
    declared = loaded.declaration
    assert (declared.id, declared.version) == ("brightness", "0.2.0")
    assert not (trained.package / "signature.json").exists()
    (learned,) = declared.training
    assert (learned.name, learned.licence, learned.cases) == ("Boxes", "CC0-1.0", 8)
    report = validate(trained.package, data)
    assert len(report.cases) == 2, "what it learned from, or stopped by, is left out"
    for name, row in zip(("grey", "white"), declared.performance, strict=True):
        assert (row.metric, row.output, row.cases) == ("dice", name, 2)
        assert row.value == pytest.approx(report.summary(name, "dice").mean, abs=1e-4)
    assert [one.is_same for one in replay(trained.package, load_runtime(trained.package))] == [True]
    assert declared.segments == read_declaration(trained.package / "model.toml").segments
    assert "signed by nobody" in (trained.package / "README.md").read_text()


def test_nothing_that_was_measured_on_the_parent_is_said_of_the_child(
    data: Path, tmp_path: Path
) -> None:
    package = write_lesson(tmp_path / "p")
    more = (
        '\n[regulatory]\nstatus = "ce"\nrisk_class = "IIa"\ncertificate = "0123"\n'
        '[operating_point]\nname = "middle"\nthreshold = 0.5\nsensitivity = 0.9\n'
    )
    (package / "model.toml").write_text(TOML + more)
    write_digests(package)
    declared = load_package(run(package, data, tmp_path, epochs=1).package).declaration
    assert declared.operating_point is None
    assert declared.regulatory
    assert declared.regulatory.status == "research"


def test_the_lineage_tells_data_code_seed_and_parent(trained: Trained, package: Path) -> None:
    lineage = read_lineage(trained.package)
    assert lineage
    assert lineage.parent.digest == load_package(package).digest
    assert (lineage.parent.weights, lineage.seed, lineage.epochs) == ("random", 7, lineage.epochs)
    (source,) = lineage.data
    assert [source.count(part) for part in (Part.TRAIN, Part.STOPPING, Part.HELD_OUT)] == [6, 2, 2]
    assert len({digest for _, digest in source.cases}) == 10
    assert {"training.toml", "training/learning.py"} <= set(lineage.code.files)
    assert lineage.code.libraries["torch"] == torch.__version__
    assert lineage.run == trained.run.name
    assert lineage.largest_difference <= 1e-3


def test_the_digests_cover_the_lineage(trained: Trained, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.package, tmp_path / "copy")
    pack(copy, tmp_path / "one.clic")
    path = copy / "lineage.json"
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    with pytest.raises(Defect, match="model-changed"):
        load_package(copy)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="lineage-unreadable"):
        read_lineage(copy)


def test_the_command_shows_where_a_package_comes_from(
    package: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 200)
    words = ["train", package, "--data", data, "--out", tmp_path, "--epochs", 2, "--seed", 3]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "2 held-out cases" in done.output
    shown = CliRunner().invoke(app, ["models", "show", str(tmp_path / "brightness-0.2.0")])
    assert "trained from random weights, declared as brightness 0.1" in shown.output
    assert "Boxes (CC0-1.0): 6 train, 2 stopping, 2 held-out" in shown.output
    assert "seed 3" in shown.output


@pytest.mark.parametrize(
    ("version", "anew", "further"),
    [("1.0.0", "1.1.0", "1.0.1"), ("0.1", "0.2.0", "0.1.1"), ("v2.3.4-rc1", "2.4.0", "2.3.5")],
)
def test_versions_follow_the_rule(version: str, anew: str, further: str) -> None:
    assert next_version(version, retrained=False) == anew
    assert next_version(version, retrained=True) == further


def test_what_shipped_before_is_what_it_was() -> None:
    for name in ("hippocampus", "fdg-sarcoma"):
        folder = ROOT / "models" / name
        told = json.loads((folder / "validation.json").read_text())
        assert load_package(folder).digest == told["model"]["digest"]


# --- between torch and ONNX


def test_an_export_that_answers_otherwise_is_no_package(package: Path, tmp_path: Path) -> None:
    recipe = read_recipe(package)
    torch.manual_seed(0)
    one, other = (as_exported(build_network(recipe.network, 3), recipe.network) for _ in range(2))
    write_onnx(one, tmp_path / "one.onnx", (8, 8, 8))
    windows = np.random.default_rng(0).normal(size=(2, 1, 8, 8, 8)).astype(np.float32)
    assert largest_difference(one, tmp_path / "one.onnx", windows) < 1e-4
    fails("export-differs", lambda: largest_difference(other, tmp_path / "one.onnx", windows))
    windows[0, 0, 0, 0, 0] = np.nan
    fails("export-differs", lambda: largest_difference(one, tmp_path / "one.onnx", windows))


def test_a_shipped_network_goes_back_to_torch() -> None:
    package = load_package(ROOT / "models" / "hippocampus")
    network = exported_network(read_recipe(package.folder).network)
    fill_from_onnx(network, package.weights_path)
    windows = random_windows(package.declaration.window.shape, seed=0, count=1)
    assert largest_difference(network, package.weights_path, windows) < 1e-3


def test_a_network_that_sees_logarithms_in_a_mirror_goes_back_to_torch(tmp_path: Path) -> None:
    asked = read_recipe(ROOT / "models" / "fdg-sarcoma").network
    asked = asked.model_copy(update={"arguments": {"filters": [2, 2, 4]}})
    one, other = exported_network(asked), exported_network(asked)
    write_onnx(one, tmp_path / "one.onnx", (8, 8, 8))
    windows = random_windows((8, 8, 8), seed=0)
    fails("export-differs", lambda: largest_difference(other, tmp_path / "one.onnx", windows))
    fill_from_onnx(other, tmp_path / "one.onnx")
    assert largest_difference(other, tmp_path / "one.onnx", windows) < 1e-4
    mirrored = TorchNetwork(one, "cpu")
    for axis in (2, 3, 4):
        assert np.allclose(
            mirrored(np.flip(windows, axis).copy()), np.flip(mirrored(windows), axis), atol=1e-5
        )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("UNet", {"channels": [4, 8], "strides": [2], "num_res_units": 1, "norm": "batch"}),
        ("SegResNet", {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}),
    ],
)
def test_networks_of_monai_go_to_onnx_and_back(
    name: str, arguments: dict[str, object], tmp_path: Path
) -> None:
    asked = read_recipe(ROOT / "models" / "hippocampus").network
    asked = asked.model_copy(update={"name": name, "arguments": arguments})
    one, other = exported_network(asked), exported_network(asked)
    for weights in one.parameters():  # the exporter keeps one of two that are alike
        weights.data += torch.randn_like(weights) / 100
    write_onnx(one, tmp_path / "one.onnx", (8, 8, 8))
    fill_from_onnx(other, tmp_path / "one.onnx")
    windows = random_windows((8, 8, 8), seed=0)
    assert largest_difference(other, tmp_path / "one.onnx", windows) < 1e-4


def exported_network(asked: Network) -> torch.nn.Module:
    return as_exported(build_network(asked, 3), asked)


def test_another_architecture_takes_no_weights(trained: Trained, package: Path) -> None:
    recipe = read_recipe(package)
    other = build_network(
        recipe.network.model_copy(update={"arguments": {"filters": [4, 4, 6]}}), 3
    )
    fails(
        "training-parent-weights",
        lambda: fill_from_onnx(other, trained.package / "model.onnx"),
    )


# --- what is said of mistakes


@pytest.mark.parametrize(
    ("before", "after", "code", "words"),
    [
        ('kind = "adamw"\nrate', 'kind = "adamw"\nrat', "unknown-key", "'rate'"),
        ('name = "small-unet"', 'name = "BigNet"', "training-network", "BigNet"),
        ("filters = [4, 4, 8]", "filtres = [4, 4, 8]", "training-network", "filtres"),
        ("held_out = 0.2", "held_out = 0.9", "wrong-value", "nothing to learn"),
        ('kind = "mirror"', 'kind = "miror"', "wrong-value", "mirror"),
    ],
)
def test_a_recipe_that_is_wrong_says_where(
    before: str, after: str, code: str, words: str, data: Path, tmp_path: Path
) -> None:
    assert before in RECIPE
    package = write_lesson(tmp_path / "p", recipe=RECIPE.replace(before, after))
    assert words in fails(code, lambda: run(package, data, tmp_path))


def test_without_the_extra_the_command_names_it(
    package: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "NEEDED", ("torch", "not_installed_here"))
    done = CliRunner().invoke(app, ["train", str(package), "--data", str(data)])
    assert isinstance(done.exception, ConfigError)
    assert done.exception.code == "training-extra"
    assert "clic-edge[monai]" in done.exception.sentence


def test_a_gpu_that_is_not_there_is_named(package: Path, data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    order = Order(package=package, data=data, out=tmp_path, device="cuda")
    fails("training-device", lambda: plan_training(order))


def test_the_recipes_that_ship_are_sound() -> None:
    found = sorted(path.parent for path in (ROOT / "models").glob("*/training.toml"))
    assert [read_recipe(path).network.name for path in found]
    assert {"fdg-sarcoma", "hippocampus"} <= {path.name for path in found}


def test_nifti_that_training_links_to_is_what_it_was(trained: Trained) -> None:
    linked = sorted((trained.run / "held-out" / "images").iterdir())
    assert len(linked) == 2
    assert all(nib.load(path).shape == known_labels().shape for path in linked)
