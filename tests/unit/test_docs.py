"""What the pages claim, compared with the code."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from command_tree import commands, options
from every import every
from remedies import FILE, generated
from sites import hippocampus_study
from source import MODULES, ROOT
from typer.testing import CliRunner

from clic_edge import __version__
from clic_edge.cli import app
from clic_edge.cli.predictions import COLUMNS
from clic_edge.config import DestinationProfile, Pipeline, Settings
from clic_edge.config.protocol import Protocol
from clic_edge.config.toml import keys_of
from clic_edge.domain.volume import Acquisition
from clic_edge.training.recipe import AugmentStep, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
)
COMMANDS = commands()
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
CLASSES = {"Refusal", "Transient", "Defect", "ConfigError"}
SAID_ELSEWHERE = {
    "config.toml": {("ConfigError", "missing-key"), ("ConfigError", "unknown-key")},
    "deid.profile": set(),  # names the file before what is wrong with its options
    "dicom.reading": {("Defect", "unreadable-instance")},
    "demo.show": set(),  # repeats the code of the case
    "pacs.summaries": {
        ("Refusal", "header-too-large"),
        ("Refusal", "header-unreadable"),
        ("Refusal", "study-too-large"),
    },
    "pacs.tls": {
        ("Transient", "tls-absent"),
        ("Transient", "tls-peer-expired"),
        ("Transient", "tls-peer-name"),
        ("Transient", "tls-peer-untrusted"),
        ("Transient", "tls-refused"),
    },
    "pipeline.delivery": set(),  # repeats why no series was analysed
    "pipeline.intake": {("Refusal", "no-pipeline")},
    "pipeline.stages": set(),  # as above
    "pipeline.supersession": set(),  # repeats why the study was not looked at
}
"""Codes that do not stand beside the error's class, by the module that holds them."""

page = every(PAGES, named=lambda path: str(path.relative_to(ROOT)))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", read(path))


def blocks(path: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(read(path)) if kind == language]


def shell_lines(path: Path) -> Iterator[str]:
    """Yield what a reader would type: lines of shell blocks, and code that begins as a command."""
    for block in blocks(path, "sh"):
        yield from block.splitlines()
    yield from re.findall(r"`((?:clic-edge|make) [^`]+)`", prose(path))


def first_cells(path: Path, heading: str) -> list[str]:
    """Return the code in the first cell of each table row below a heading."""
    section = re.split(r"^## ", read(path), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


# --- links


@page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", prose(page)):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@page
def test_every_link_into_a_page_names_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", prose(page)):
        headings = re.findall(r"(?m)^#+ (.+)$", read(page.parent / target if target else page))
        assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, open_pages = set[Path](), [ROOT / "README.md"]
    while open_pages:
        path = open_pages.pop()
        if path not in reached:
            reached.add(path)
            targets = re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", prose(path))
            open_pages += [(path.parent / target).resolve() for target in targets]
    assert set(PAGES) - reached <= {ROOT / "CHANGELOG.md"}


# --- commands


@page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))
    for line in shell_lines(page):
        if line.startswith("make "):
            assert line.split()[1] in targets, line


@page
def test_every_command_and_option_exists(page: Path) -> None:
    for line in shell_lines(page):
        if found := re.match(r"(?:\S+=\S+ |sudo -u \S+ )*(?:\.venv/bin/)?clic-edge (.*)", line):
            require_known(shlex.split(found[1], comments=True))


def require_known(words: Sequence[str]) -> None:
    """Assert that the words are a command with options of its own."""
    path: tuple[str, ...] = ()
    rest, value_of = list(words), ""
    while rest:
        word = rest.pop(0)
        if word in {"-c", "--config"}:
            rest.pop(0)
        elif word.startswith("-"):
            assert word in options(COMMANDS[path]), words
            value_of = word
            continue
        elif (*path, word) in COMMANDS:
            path = (*path, word)
        else:
            assert path, words
            assert value_of or not hasattr(COMMANDS[path], "commands"), words
        value_of = ""


def test_every_command_is_on_a_page_beside_the_reference() -> None:
    others = "\n".join(read(path) for path in PAGES if path.name != "cli.md")
    assert {
        " ".join(words)
        for words, command in COMMANDS.items()
        if not hasattr(command, "commands") and f"clic-edge {' '.join(words)}" not in others
    } == set()


def test_every_target_of_make_explains_itself_and_is_on_a_page() -> None:
    makefile = read(ROOT / "Makefile")
    public = set(re.findall(r"^([a-z]+):.* ## ", makefile, flags=re.MULTILINE))
    assert {"setup", "demo", "check", "test", "bench", "clean"} <= public
    pages = read(ROOT / "README.md") + read(ROOT / "CONTRIBUTING.md")
    assert {target for target in public if f"make {target}" not in pages} == {"help", "clean"}


# --- settings


def known_keys() -> set[str]:
    keys = {
        key
        for model in (Settings, Pipeline, DestinationProfile, Recipe, Protocol)
        for key in keys_of(model)
    }
    return keys | {key.rpartition(".")[0] for key in keys}


NAMED = {
    "destinations",
    "runtimes.servers",
    "compression",
    "acceptance.at_least",
    "acceptance.at_most",
}
"""Tables whose keys are names of one's own."""


def tables(content: object, prefix: str = "") -> Iterator[str]:
    if not isinstance(content, dict):
        yield prefix
        return
    for key, value in content.items():
        name = "NAME" if prefix in NAMED else key
        dotted = f"{prefix}.{name}" if prefix else name
        yield from [dotted] if prefix == "rule" else tables(value, dotted)


@page
def test_settings_on_a_page_are_settings_that_exist(page: Path) -> None:
    known = known_keys()
    of_packages = (
        "[embedding]",
        "[gate]",
        "[image]",
        "[tiles]",
        "[[input.",
        "server = ",
    )  # held against schemas of their own
    settings = [one for one in blocks(page, "toml") if not one.startswith(of_packages)]
    for block in settings:
        text = re.sub(r"^ {1,8}(?=\S)", "", block, flags=re.MULTILINE)
        assert set(tables(tomllib.loads(text))) <= known
    named = (
        r"`((?:appliance|orthanc|worker|runtimes|completeness|volume|rule)\.[a-z_]+)(?: = [^`]*)?`"
    )
    mentioned = {
        key for key in re.findall(named, prose(page)) if not key.endswith((".json", ".py"))
    }
    assert mentioned <= known


def test_the_page_of_training_names_every_key_of_a_recipe() -> None:
    path = DOCS / "how-to" / "train-a-model.md"
    named = first_cells(path, "The recipe")
    kinds = get_args(get_args(AugmentStep)[0])
    steps = {get_args(one.model_fields["kind"].annotation)[0]: one for one in kinds}
    tops = {key for key in keys_of(Recipe) if not key.startswith("augmentation.")}
    assert set(named) == tops | {"augmentation"} | set(steps)
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (`.*`) \| [a-z]", read(path), re.MULTILINE))
    for kind, step in steps.items():
        assert set(re.findall("`([^`]+)`", rows[kind])) == set(step.model_fields) - {"kind"}


# --- errors


@cache
def raised() -> frozenset[tuple[str, str]]:
    """Return class and code of every error that the package can raise."""
    return frozenset(_raised())


def _raised() -> Iterator[tuple[str, str]]:
    """Yield class and code of every error that the package can raise."""
    for module in MODULES:
        found = SAID_ELSEWHERE.get(module.name, set())
        assert all(f'"{code}"' in module.text for _, code in found), module
        yield from found
        for node in ast.walk(module.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "translated" and isinstance(node.args[0], ast.Constant):
                yield "Defect", str(node.args[0].value)
            if node.func.id in CLASSES | {"ClicEdgeError"}:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    yield node.func.id.replace("ClicEdgeError", "Defect"), str(code.value)
                else:
                    assert module.name in SAID_ELSEWHERE, f"{module}:{node.lineno}"


def test_the_page_of_errors_is_what_the_code_can_raise() -> None:
    path = DOCS / "reference" / "errors.md"
    documented = {(kind, code) for kind in CLASSES for code in first_cells(path, kind)}
    assert raised() - documented == set(), "raised, and not on the page"
    assert documented - raised() == set(), "on the page, and never raised"


def test_the_product_says_what_to_do_as_the_page_of_errors_does() -> None:
    assert FILE.read_text("utf-8") == generated(), "run: python tests/remedies.py"


@page
def test_every_code_that_a_page_tells_of_exists(page: Path) -> None:
    codes = {code for _, code in raised()}
    for code in re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", prose(page)):
        assert code in codes


# --- prediction log


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the features that a run of the pipeline that ships has logged."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "study").mkdir()
    for index, dataset in enumerate(hippocampus_study(1)):
        dataset.save_as(folder / "study" / f"{index}.dcm", enforce_file_format=True)
    settings = folder / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "."\nmodels = "{ROOT}/models"\nmodel_keys = "{ROOT}/configs/model-keys"\n'
        f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
    )
    words = ["-c", settings, "run", folder / "study", "--pipeline", "hippocampus"]
    ran = CliRunner().invoke(app, [*map(str, words), "--out", str(folder / "out")])
    assert ran.exit_code == 0, ran.output
    (case,) = json.loads((folder / "out" / "report.json").read_text())
    return {name for row in case["predictions"] for name in row}


CHALLENGERS = {
    f"agreement.{segment}.{what}"
    for segment in ("anterior", "posterior")
    for what in ("dice", "volume_difference_mm3")
}
"""What only a pipeline with challengers logs."""

OTHER_MODELS = {
    "output.anterior.area_mm2",
    "output.posterior.area_mm2",
    "agreement.CATEGORY.probability_difference",
    "output.CATEGORY.chosen",
    "output.CATEGORY.probability",
    "output.SCORE.maximum",
    "output.SCORE.mean",
    "output.anterior.entropy",
    "output.detections",
    "output.entropy",
    "output.highest_probability",
    "output.posterior.entropy",
}
"""What only classifiers, detectors, models for slides and models with probability maps log."""

NOT_HERE = {
    *("input.protocol_name", "input.receive_coil_name"),
    *("input.artefact.ghosting", "input.artefact.stripes", "input.artefact.rings"),
}
"""What is logged where staff typed something, and of larger images than the demo's."""


@pytest.mark.slow
def test_the_page_of_the_prediction_log_names_every_column_and_feature(logged: set[str]) -> None:
    path = DOCS / "reference" / "prediction-log.md"
    assert first_cells(path, "Columns") == ["created_at", *COLUMNS]
    documented = {
        name.replace("SEGMENT", segment)
        for name in first_cells(path, "Features")
        for segment in ("anterior", "posterior")
    }
    acquisition = {f"input.{one.name}" for one in fields(Acquisition)} - {"input.age_years"}
    acquisition -= {"input.suv_bw_factor"}  # for the model, not for a chart
    acquisition.add("input.age_band_years")  # in its place
    assert logged <= documented
    assert documented >= CHALLENGERS | OTHER_MODELS | NOT_HERE
    assert documented - logged - CHALLENGERS - OTHER_MODELS - NOT_HERE <= acquisition <= documented


# --- version


@cache
def changelog() -> str:
    return read(ROOT / "CHANGELOG.md")


def test_the_top_of_the_changelog_is_this_version() -> None:
    (top, *_) = re.findall(r"^## \[([^\]]+)\]", changelog(), flags=re.MULTILINE)
    assert top == __version__


def test_the_changelog_keeps_its_order() -> None:
    order = ["Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"]
    for version in changelog().split("\n## [")[1:]:
        places = [order.index(one) for one in re.findall(r"^### (\w+)$", version, re.MULTILINE)]
        assert places == sorted(places)
