"""What happens to each attribute, told before and after; values only where they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, ramp
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.deid import BASIC, DeidKey, file, part10
from clic_edge.deid.compare import Outcome, compare
from clic_edge.deid.explain import NOT_WRITTEN, Explained, differences, explain
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

KEY = DeidKey(b"one key of thirty-two bytes, yes")
SECRETS = ("Kanarie", CANARY.patient_id, "77777777", CANARY.birth_date)


def _slice() -> Dataset:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    ds.OtherPatientIDsSequence = [make_datasets(canary_stack(), ramp((1, 2, 2)))[0]]
    ds.add_new(0x00091010, "LO", "Kanarie")
    return ds


def _by_path(found: tuple[Explained, ...]) -> dict[str, Explained]:
    return {one.path: one for one in found}


def test_each_attribute_has_an_outcome_and_a_rule() -> None:
    explanation = explain(file_bytes(_slice()), BASIC, KEY)
    assert explanation.error is None
    found = _by_path(explanation.attributes)
    expected = {
        "(0010,0010)": ("Patient's Name", "replaced", "subject: E.1-1 Z"),
        "(0010,0030)": ("Patient's Birth Date", "emptied", "empty: E.1-1 Z"),
        "(0020,000D)": ("Study Instance UID", "mapped", "uid: E.1-1 U"),
        "(0028,0010)": ("Rows", "kept", "keep: "),
        "(0009,1010)": ("private", "removed", "remove: E.1-1 private"),
        "(0012,0062)": ("Patient Identity Removed", "added", ""),
    }
    for path, (name, outcome, rule) in expected.items():
        one = found[path]
        assert (one.name, one.outcome) == (name, outcome), path
        assert rule in one.rule, path
    assert not [secret for secret in SECRETS for one in found.values() if secret in repr(one)]


def test_what_would_not_be_written_says_why_and_claims_no_outcome() -> None:
    ds = _slice()
    ds.BurnedInAnnotation = "YES"
    explanation = explain(file_bytes(ds), BASIC, KEY)
    assert isinstance(explanation.error, Refusal)
    assert {one.outcome for one in explanation.attributes} == {NOT_WRITTEN}


def test_two_files_differ_where_they_differ() -> None:
    one, other = _slice(), _slice()
    other.Rows = 7
    del other.PatientID
    other.OtherPatientIDsSequence[0].Columns = 9
    found = _by_path(tuple(differences(file_bytes(one), file_bytes(other))))
    assert {path: row.outcome for path, row in found.items()} == {
        "(0010,0020)": "removed",
        "(0010,1002)[1].(0028,0011)": "replaced",
        "(0028,0010)": "replaced",
    }


def test_the_padding_of_a_value_is_no_difference() -> None:
    def element(value: bytes) -> part10.Element:
        return part10.Element(0x00100020, "LO", value, None, encapsulated=False)

    (same,) = compare([element(b"4711 ")], [element(b"4711\0")])
    (other,) = compare([element(b"4711")], [element(b"4712")])
    assert (same.outcome, other.outcome) == (Outcome.KEPT, Outcome.REPLACED)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    profiles = file.__file__.rpartition("/src/")[0] + "/configs/deid"
    path = tmp_path / "clic-edge.toml"
    path.write_text(f'[appliance]\nstate_dir = "{tmp_path}"\ndeid_profiles = "{profiles}"\n')
    return path


def test_values_are_printed_only_where_they_are_asked_for(settings: Path, tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    path.write_bytes(file_bytes(_slice()))
    other = tmp_path / "other.dcm"
    other.write_bytes(file_bytes(make_datasets(canary_stack(modality="CT"), ramp((1, 4, 6)))[0]))

    def shown(*arguments: str) -> str:
        result = CliRunner().invoke(
            app, ["--debug", "-c", str(settings), "deid", *arguments], env={"COLUMNS": "300"}
        )
        assert result.exit_code == 0, result.output
        return result.output

    for words in (("explain", str(path)), ("diff", str(path), str(other))):
        quiet, loud = shown(*words), shown(*words, "--values")
        assert "(0009,1010)" in quiet
        assert not [secret for secret in SECRETS if secret in quiet]
        assert "Kanarie" in loud


def test_a_file_that_would_not_be_written_ends_explain_with_its_reason(
    settings: Path, tmp_path: Path
) -> None:
    ds = _slice()
    ds.BurnedInAnnotation = "YES"
    path = tmp_path / "slice.dcm"
    path.write_bytes(file_bytes(ds))
    result = CliRunner().invoke(app, ["--debug", "-c", str(settings), "deid", "explain", str(path)])
    assert isinstance(result.exception, Refusal)
    assert "(0010,0010)" in result.output
