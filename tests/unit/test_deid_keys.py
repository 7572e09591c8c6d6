from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import UID

from clic_edge.deid.keys import DeidKey, create_key, keyed_uid, load_key
from clic_edge.deid.page_key import PageKey, load_page_key, write_page_key
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = DeidKey(b"one key of thirty-two bytes, yes")
OTHER = DeidKey(b"another key of thirty-two bytes.")


def test_a_key_made_is_the_key_loaded_and_for_its_owner_only(tmp_path: Path) -> None:
    made = create_key(tmp_path / "deid.key")
    assert load_key(tmp_path / "deid.key") == made
    assert stat.S_IMODE((tmp_path / "deid.key").stat().st_mode) == 0o600
    assert create_key(tmp_path / "second.key") != made


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    made = create_key(tmp_path / "deid.key")
    with pytest.raises(ConfigError) as caught:
        create_key(tmp_path / "deid.key")
    assert caught.value.code == "key-exists"
    assert load_key(tmp_path / "deid.key") == made


def test_a_key_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        create_key(tmp_path / "no-folder" / "deid.key")
    assert caught.value.code == "key-unwritable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "deid.key"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load_key(path)
    assert caught.value.code == "key-too-open"
    assert str(path) in caught.value.sentence


def test_a_missing_short_or_unreadable_key_is_named(tmp_path: Path) -> None:
    short = tmp_path / "short.key"
    short.write_bytes(b"x" * 31)
    short.chmod(0o600)
    for path, code in (
        (tmp_path / "none.key", "key-missing"),
        (short, "key-too-short"),
        (tmp_path, "key-unreadable"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_key(path)
        assert caught.value.code == code
        assert str(path) in caught.value.sentence


def test_no_repr_shows_a_secret() -> None:
    assert "key" not in repr(KEY).replace("DeidKey", "")
    pseudonym = KEY.pseudonym("0101011234", "Hospital")
    assert repr(pseudonym) == f"Pseudonym(subject_id='{pseudonym.subject_id}')"


def test_the_same_patient_has_the_same_pseudonym_and_another_patient_or_key_none_of_it() -> None:
    mine = KEY.pseudonym("0101011234", "A")
    assert mine == KEY.pseudonym(" 0101011234 ", "A ")
    others = [KEY.pseudonym("0101011235", "A"), KEY.pseudonym("0101011234", "B")]
    others.append(OTHER.pseudonym("0101011234", "A"))
    assert all(mine.subject_id != other.subject_id for other in others)
    assert mine.uid_key != others[-1].uid_key


def test_patient_and_issuer_do_not_run_together() -> None:
    assert KEY.pseudonym("12", "3").subject_id != KEY.pseudonym("1", "23").subject_id


def test_uids_are_keyed_but_do_not_depend_on_the_patient() -> None:
    one, two = KEY.pseudonym("1", ""), KEY.pseudonym("2", "")
    assert keyed_uid("1.2.3", one) == keyed_uid("1.2.3", two)
    assert keyed_uid("1.2.3", one) != keyed_uid("1.2.4", one)
    assert keyed_uid("1.2.3", one) != keyed_uid("1.2.3", OTHER.pseudonym("1", ""))


@pytest.mark.parametrize("number", range(50))
def test_stand_ins_are_valid_dicom(number: int) -> None:
    pseudonym = KEY.pseudonym(str(number), "")
    assert -3650 <= pseudonym.date_shift_days <= -1
    assert len(pseudonym.subject_id) == 19
    assert pseudonym.subject_id.replace("-", "").isalnum()
    assert UID(keyed_uid(f"1.2.{number}", pseudonym)).is_valid


def test_the_pages_have_a_key_of_their_own_which_says_what_the_sites_would(tmp_path: Path) -> None:
    site, file = create_key(tmp_path / "deid.key"), tmp_path / "page-key"
    write_page_key(PageKey.of(site), file)
    assert load_page_key(file, tmp_path / "gone") == load_page_key(None, tmp_path / "deid.key")
    assert site.secret.hex() not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{}", '{"assess": "00", "reader": "00", "signer": "00"}'])
def test_a_broken_key_of_the_pages_is_said(tmp_path: Path, content: str) -> None:
    file = tmp_path / "page-key"
    file.write_text(content)
    with pytest.raises(ConfigError, match="page-key") as refused:
        load_page_key(file, tmp_path / "gone")
    assert refused.value.code == "key-unreadable"
