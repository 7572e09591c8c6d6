"""Configuration: what is read, and what is said when something is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clic_edge.config import (
    DestinationProfile,
    DimseDestination,
    FolderDestination,
    Pipeline,
    Settings,
    VolumeChoices,
    cross_check,
    load_pipelines,
    load_settings,
    read_secret,
)
from clic_edge.config.toml import keys_of
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.errors import ConfigError

PIPELINE = """
name = "hippocampus"
title = "Hippocampus"
model = "hippocampus"
deid_profile = "basic"
destinations = ["pacs"]
[rule]
modality = ["MR"]
"""


def settings_from(folder: Path, text: str) -> Settings:
    path = folder / "clic-edge.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def complaint(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        settings_from(folder, text)
    assert str(folder / "clic-edge.toml") in caught.value.sentence
    return caught.value


def pipeline_complaint(folder: Path, text: str, name: str = "hippocampus") -> ConfigError:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipelines(folder)
    assert str(folder / f"{name}.toml") in caught.value.sentence
    return caught.value


def test_an_empty_file_gives_the_defaults_with_paths_beside_it(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, "")
    assert settings.appliance.pipelines == tmp_path / "pipelines"
    assert settings.appliance.state_dir == Path("/var/lib/clic-edge")
    assert settings.appliance.database == "sqlite:////var/lib/clic-edge/clic-edge.sqlite"
    assert settings.appliance.deid_key == Path("/var/lib/clic-edge/deid.key")
    assert settings.worker.concurrent_cases == 2


def test_database_and_key_follow_the_state_folder(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, '[appliance]\nstate_dir = "state"')
    assert settings.appliance.database == f"sqlite:///{tmp_path}/state/clic-edge.sqlite"
    assert settings.appliance.deid_key == tmp_path / "state" / "deid.key"


def test_each_kind_of_destination_has_its_own_keys(tmp_path: Path) -> None:
    settings = settings_from(
        tmp_path,
        '[destinations.pacs]\nkind = "dimse"\nhost = "h"\nport = 104\ncalled_ae_title = "PACS"\n'
        '[destinations.out]\nkind = "folder"\npath = "results"\n',
    )
    pacs, out = settings.destinations["pacs"], settings.destinations["out"]
    assert isinstance(pacs, DimseDestination)
    assert pacs.calling_ae_title == "CLICEDGE"
    assert isinstance(out, FolderDestination)
    assert out.path == tmp_path / "results"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, '[destinations.out]\nkind = "folder"\npath = "x"')
    with pytest.raises(ValueError, match="frozen"):
        settings.worker.concurrent_cases = 3  # type: ignore[misc] # the point of the test
    with pytest.raises(TypeError):
        settings.destinations["more"] = settings.destinations["out"]  # type: ignore[index] # as above


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("[worker]\nconcurent_cases = 2", "unknown-key", "'worker.concurent_cases'; the nearest is 'concurrent_cases'"),
        ("[wroker]", "unknown-key", "'wroker'; the nearest is 'worker'"),
        ("[worker]\nzzz = 1", "unknown-key", "'worker.zzz'; valid are case_seconds, "),
        ("[worker]\nconcurrent_cases = '2'", "wrong-value", "'worker.concurrent_cases': should be a whole number"),
        ("[worker]\nconcurrent_cases = 0", "wrong-value", "'worker.concurrent_cases': should be greater than 0"),
        ("[worker]\nfirst_retry_seconds = 9\nlongest_retry_seconds = 3", "wrong-value", "'longest_retry_seconds' should not be less"),
        ("[worker]\nmetrics_port = 70000", "wrong-value", "'worker.metrics_port': should be less than"),
        ("[worker]\nreconcile_seconds = inf", "wrong-value", "'worker.reconcile_seconds': should be"),
        ("appliance = 3", "wrong-value", "'appliance': should be a table"),
        ("destinations = 3", "wrong-value", "'destinations': should be a table"),
        ("[appliance]\nstate_dir = 3", "wrong-value", "'appliance.state_dir': should be a path in quotes"),
        ("[appliance]\ndatabase = 'mysql://x/y'", "wrong-value", "'appliance.database': should begin with"),
        ("[appliance]\ndatabase = 'postgresql://u@h/d?password=x'", "wrong-value", "'appliance.database': holds a password"),
        ("[orthanc]\nurl = 'localhost:8042'", "wrong-value", "'orthanc.url': should be a URL"),
        ("[destinations.x]\nhost = 'h'", "missing-key", "'destinations.x.kind' is missing"),
        ("[destinations.x]\nkind = 'dimze'", "wrong-value", "'destinations.x.kind': the nearest is 'dimse'"),
        ("[destinations.x]\nkind = 'folder'\npaht = 'y'", "missing-key", "'destinations.x.paht'; the nearest is 'path'"),
        ("[destinations.folder]\nkind = 'dimse'\nhots = 'h'", "missing-key", "'destinations.folder.hots'; the nearest is 'host'"),
        ("[worker\nx = 1", "not-toml", "line 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_key(
    tmp_path: Path, text: str, code: str, expected: str
) -> None:
    error = complaint(tmp_path, text)
    assert (error.code, expected in error.sentence) == (code, True), error.sentence


def test_every_wrong_key_is_reported_at_once(tmp_path: Path) -> None:
    error = complaint(tmp_path, "[worker]\nzzz = 1\nconcurrent_cases = 'x'\n[orthank]")
    assert len(error.sentence.splitlines()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "[appliance]\ndatabase = 'postgresql://edge:hunter2@db/edge'",
        "[orthanc]\nurl = 'http://edge:hunter2@localhost:8042'",
        "[orthanc]\npassword = 'hunter2'",
        "[orthanc]\ntimeout_s = 'hunter2'",
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in str(complaint(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file") as caught:
        load_settings(tmp_path / "nowhere.toml")
    assert caught.value.code == "no-such-file"


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("blåbær \n# a comment\n", encoding="utf-8")
    assert read_secret(path) == "blåbær"


def test_an_empty_or_missing_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    for name in ("empty", "missing"):
        with pytest.raises(ConfigError, match=name):
            read_secret(tmp_path / name)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("[rule]", "'rule': is empty"),
        ("[rule]\nall = []", "'rule.all': should have at least one value"),
        ("[rule]\nany = [{}]", "'rule.any[1]': is empty"),
        ("[rule]\nnot = { any = [{ modalty = ['MR'] }] }", "'rule.not.any[1].modalty'; the nearest is 'modality'"),
        ("[rule]\nmodality = 'MR'", "'rule.modality': should be an array"),
        ("[rule]\nmodality = ['MR', 3]", "'rule.modality[2]': should be text"),
        ("[rule]\nmodality = []", "'rule.modality': should have at least one value"),
        ("[rule]\nall = [{ series_description = 'hip(po' }]", "'rule.all[1].series_description': is not a regular expression: missing ), unterminated subpattern at character 4"),
        ("[rule]\nmanufacturer = '(a)\\1'", "backreferences are not supported"),
        ("[rule]\ninstances = {}", "'rule.instances': should have 'min', 'max' or both"),
        ("[rule]\ninstances = { min = 9, max = 3 }", "'rule.instances': 'min' should not be more than 'max'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused(tmp_path: Path, rule: str, expected: str) -> None:
    text = PIPELINE.partition("[rule]")[0] + rule
    assert (
        expected
        in pipeline_complaint(tmp_path, text.replace("'", '"').replace("\\", "\\\\")).sentence
    )


def test_a_pipeline_is_called_as_its_file(tmp_path: Path) -> None:
    error = pipeline_complaint(tmp_path, PIPELINE, name="other")
    assert "'name' should be 'other'" in error.sentence


def test_a_folder_without_pipelines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pipeline"):
        load_pipelines(tmp_path)


def test_pipelines_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b-two", "a-one"):
        text = PIPELINE.replace('name = "hippocampus"', f'name = "{name}"')
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    assert [pipeline.name for pipeline in load_pipelines(tmp_path)] == ["a-one", "b-two"]


def appliance(folder: Path, pipeline: str) -> tuple[Settings, tuple[Pipeline, ...]]:
    for sub in ("pipelines", "models/hippocampus", "deid"):
        (folder / sub).mkdir(parents=True)
    (folder / "deid" / "basic.toml").touch()
    (folder / "pipelines" / "hippocampus.toml").write_text(pipeline, encoding="utf-8")
    settings = settings_from(
        folder,
        '[appliance]\nmodels = "models"\n'
        '[destinations.pacs]\nkind = "dimse"\nhost = "h"\nport = 104\ncalled_ae_title = "PACS"\n'
        '[destinations.out]\nkind = "folder"\npath = "results"\n',
    )
    return settings, load_pipelines(settings.appliance.pipelines)


def test_a_pipeline_may_name_what_exists(tmp_path: Path) -> None:
    text = PIPELINE + '[completeness]\nexpected_from = "pacs"'
    cross_check(*appliance(tmp_path, text))


@pytest.mark.parametrize(
    ("found", "wrong", "expected"),
    [
        ('["pacs"]', '["pcas"]', "'destinations': there is no 'pcas'; the nearest is 'pacs'"),
        ('model = "hippocampus"', 'model = "hipocampus"', "'model': there is no 'hipocampus'; the nearest is 'hippocampus'"),
        ('"basic"', '"basik"', "'deid_profile': there is no 'basik'; the nearest is 'basic'"),
        ("[rule]", 'writers = ["sge"]\n[rule]', "'writers': there is no 'sge'; the nearest is 'seg'"),
        ("[rule]", '[completeness]\nexpected_from = "out"\n[rule]', "'completeness.expected_from': there is no 'out'; valid are pacs"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_reported_with_the_nearest(
    tmp_path: Path, found: str, wrong: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        cross_check(*appliance(tmp_path, PIPELINE.replace(found, wrong)))
    assert str(tmp_path / "pipelines" / "hippocampus.toml") in caught.value.sentence
    assert expected in caught.value.sentence


def test_the_volume_table_has_the_fields_of_the_policy() -> None:
    policy = VolumePolicy()
    choices = VolumeChoices()
    assert {name: getattr(policy, name) for name in policy.__dataclass_fields__} == dict(choices)


def test_the_files_that_ship_are_valid(root: Path) -> None:
    settings = load_settings(root / "configs" / "clic-edge.toml")
    names = [pipeline.name for pipeline in load_pipelines(settings.appliance.pipelines)]
    assert "hippocampus" in names


def test_the_reference_lists_every_key_and_no_other(root: Path) -> None:
    reference = (root / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([^`]+)` \|", reference, re.MULTILINE)
    assert sorted(documented) == sorted(
        key
        for model in (Settings, Pipeline, DestinationProfile)
        for key in keys_of(model)
        if not key.startswith("rule.")  # have a page of their own
    )


def test_configuration_is_light_enough_for_orthanc() -> None:
    heavy = "{'torch', 'onnxruntime', 'highdicom', 'matplotlib', 'numpy', 'pydicom'}"
    program = f"import sys, clic_edge.config; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
