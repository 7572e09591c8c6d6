"""The certificate: a line can't be changed, left out, moved or added without notice; nor can a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, ramp

from clic_edge.deid import BASIC, DeidKey
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid.certificate import (
    NAME,
    Certificate,
    ObjectRecord,
    RunRecord,
    StudyRecord,
    public_key,
    read_chain,
)
from clic_edge.deid.file import Bench
from clic_edge.deid.manifest import write_manifest
from clic_edge.deid.profile import Profile
from clic_edge.deid.standard import confidentiality_rows, method_codes
from clic_edge.deid.statement import statement
from clic_edge.deid.verify import verify
from clic_edge.errors import ClicEdgeError, ConfigError, Defect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = DeidKey(b"one key of thirty-two bytes, yes")
OTHER_KEY = DeidKey(b"another key of thirty-two bytes!")
Lines = list[bytes]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a certified cohort of three files."""
    (tmp_path / "in").mkdir()
    for number, ds in enumerate(make_datasets(canary_stack(), ramp((3, 4, 6)))):
        (tmp_path / "in" / str(number)).write_bytes(file_bytes(ds))
    _run(tmp_path)
    return tmp_path / "out"


def _run(tmp_path: Path, key: DeidKey = KEY) -> None:
    order = Order(bench=Bench(profile=BASIC, key=key, out=tmp_path / "out"))
    clean_all(sources_below(tmp_path / "in"), order, lambda _: None)


def _problems(out: Path, key: DeidKey = KEY) -> tuple[str, ...]:
    return verify(out, public_key(key)).problems


def test_a_cohort_as_it_was_written_is_sound(out: Path) -> None:
    found = verify(out, public_key(KEY))
    assert (found.objects, found.studies, found.problems) == (3, 1, ())
    assert found.key_ids == (KEY.key_id,)


def test_each_study_and_object_has_its_line_and_no_line_has_an_identifier(out: Path) -> None:
    records = [link.record for link in read_chain(out / NAME)]
    objects = [one for one in records if isinstance(one, ObjectRecord)]
    (study,) = [one for one in records if isinstance(one, StudyRecord)]
    (run,) = [one for one in records if isinstance(one, RunRecord)]
    assert (run.policy_digest, run.key_id) == (BASIC.digest, KEY.key_id)
    assert study.objects == len(objects) == 3
    for action in ("kept", "mapped", "removed", "added"):
        assert study.counts[action] == sum(one.counts[action] for one in objects) > 0
    shown = (out / NAME).read_bytes()
    secrets = (CANARY.name, "Kanarie", CANARY.patient_id, "77777777", CANARY.birth_date)
    assert not [secret for secret in secrets if secret.encode() in shown]


def _edited(lines: Lines, number: int, before: bytes, after: bytes) -> Lines:
    assert before in lines[number]
    return [*lines[:number], lines[number].replace(before, after), *lines[number + 1 :]]


FORGERIES: dict[str, Callable[[Lines], Lines]] = {
    "a count": lambda lines: _edited(lines, 1, b'"kept":', b'"kept":1'),
    "a name": lambda lines: _edited(lines, 1, b'"name":"CE-', b'"name":"XX-'),
    "a signature": lambda lines: _edited(lines, 2, b'"signature":"', b'"signature":"00'),
    "the policy": lambda lines: _edited(lines, 0, BASIC.digest.encode(), b"0" * 64),
    "spaces": lambda lines: _edited(lines, 1, b'"kind":', b'"kind": '),
    "one left out": lambda lines: [*lines[:2], *lines[3:]],
    "the first left out": lambda lines: lines[1:],
    "two changed over": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "one twice": lambda lines: [*lines, lines[-1]],
    "the end left out": lambda lines: lines[:-1],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_line_is_seen(out: Path, forgery: str) -> None:
    lines = (out / NAME).read_bytes().splitlines(keepends=True)
    (out / NAME).write_bytes(b"".join(FORGERIES[forgery](lines)))
    assert _problems(out)


def test_a_line_that_is_none_is_seen(out: Path) -> None:
    (out / NAME).write_bytes((out / NAME).read_bytes() + b"Kanarie\n")
    with pytest.raises(Defect) as caught:
        _problems(out)
    assert caught.value.code == "unreadable-certificate"
    assert "Kanarie" not in str(caught.value)


def test_a_chain_that_somebody_else_made_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _run(tmp_path, OTHER_KEY)
    assert _problems(tmp_path / "out", OTHER_KEY) == ()
    assert len(_problems(tmp_path / "out")) == 2
    with pytest.raises(Defect) as caught:
        _run(tmp_path)
    assert caught.value.code == "broken-certificate"


@pytest.mark.parametrize("change", ["changed", "missing", "added"])
def test_a_file_that_is_not_as_certified_is_seen(out: Path, change: str) -> None:
    path = next(out.rglob("*.dcm"))
    if change == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"\7")
    elif change == "missing":
        path.unlink()
    else:
        path.with_suffix(".txt").write_text("more")
    (problem,) = _problems(out)
    assert path.stem in problem


def test_a_line_that_a_crash_left_unfinished_is_dropped_by_the_next_run(
    out: Path, tmp_path: Path
) -> None:
    whole = (out / NAME).read_bytes()
    (out / NAME).write_bytes(whole + b'{"previous":"00')
    _run(tmp_path)
    assert (out / NAME).read_bytes().startswith(whole)
    assert _problems(out) == ()


def test_a_public_key_or_folder_that_is_none_is_told(out: Path, tmp_path: Path) -> None:
    codes = []
    for folder, key in ((out, "abc"), (tmp_path, public_key(KEY))):
        with pytest.raises(ConfigError) as caught:
            verify(folder, key)
        codes.append(caught.value.code)
    assert codes == ["bad-public-key", "no-certificate"]


def test_the_keys_of_each_purpose_differ_and_tell_nothing_of_each_other() -> None:
    made = {KEY.derived(purpose) for purpose in ("certificate", "key-id", "crosswalk 1", "x")}
    assert len(made) == 4
    assert KEY.secret not in made
    assert KEY.key_id != OTHER_KEY.key_id
    assert KEY.key_id not in {KEY.secret.hex()[:16], public_key(KEY)[:16]}


def test_records_are_read_back_only_from_a_chain_that_holds(out: Path) -> None:
    lines = (out / NAME).read_bytes().splitlines(keepends=True)
    (out / NAME).write_bytes(b"".join(FORGERIES["a count"](lines)))
    with Certificate(out, KEY) as certificate, pytest.raises(ClicEdgeError) as caught:
        list(certificate.records())
    assert caught.value.code == "broken-certificate"


def test_the_manifest_is_what_the_certificate_lists(out: Path) -> None:
    manifest = write_manifest(out)
    assert json.loads((out / "manifest.json").read_text()) == manifest.model_dump(mode="json")
    (subject,) = manifest.subjects
    assert subject.subject_id == KEY.pseudonym(CANARY.patient_id, "").subject_id
    files = subject.studies[0].series[0].files
    assert {out / file.name for file in files} == set(out.rglob("*.dcm"))
    assert manifest.key_id == KEY.key_id
    assert _problems(out) == ()


def test_the_statement_says_what_the_profile_does() -> None:
    words = statement(BASIC)
    codes = dict(method_codes())
    assert BASIC.digest in words
    assert f"({codes['basic'].value}, DCM)" in words
    counts = [int(line.split()[1]) for line in words.splitlines() if "rows of Table" in line]
    assert sum(counts) == len(confidentiality_rows())
    more = statement(Profile(name="more", options=frozenset({"retain_uids"}), faces="hold"))
    assert f"{codes['retain_uids'].meaning} ({codes['retain_uids'].value}" in more
    assert "retain uids" not in more
    assert "are not released" in more.rpartition("## Keys")[0].splitlines()[-2]
