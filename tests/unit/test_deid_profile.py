from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clic_edge.deid.options import FULL_DATES, MODIFIED_DATES
from clic_edge.deid.profile import BASIC, Profile, load_profile
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


BOTH = (FULL_DATES, MODIFIED_DATES)


def test_the_shipped_profile_is_the_basic_one(root: Path) -> None:
    assert load_profile(root / "configs" / "deid" / "basic.toml") == BASIC


@pytest.mark.parametrize("name", ["basic", "research", "monitoring", "photographs"])
def test_a_shipped_profile_loads_and_explains_each_option(root: Path, name: str) -> None:
    path = root / "configs" / "deid" / f"{name}.toml"
    profile = load_profile(path)
    assert profile.name == name
    lines = path.read_text(encoding="utf-8").splitlines()
    for option in profile.options:
        (at,) = [n for n, line in enumerate(lines) if line.strip() == f'"{option}",']
        assert lines[at - 1].strip().startswith("#")


def test_options_that_contradict_each_other_are_refused_however_a_profile_is_made() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        Profile(name="x", options=frozenset(BOTH))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('name = "x"\noption = []', "unknown-key", ("option", "options")),
        ('name = "x"\noptions = ["retain_uid"]', "unknown-option", ("retain_uid", "retain_uids")),
        (
            f'name = "x"\noptions = ["{FULL_DATES}", "{MODIFIED_DATES}"]',
            "conflicting-options",
            BOTH,
        ),
        ('name = "x"\noptions = "retain_uids"', "profile-invalid", ("options",)),
        ("options = []", "profile-invalid", ("name",)),
        ("name = ", "profile-invalid", ("TOML",)),
    ],
)
def test_a_wrong_profile_names_file_key_and_nearest_valid(
    tmp_path: Path, content: str, code: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert caught.value.code == code
    assert all(word in caught.value.sentence for word in (str(path), *words))


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(tmp_path / "none.toml")
    assert caught.value.code == "profile-missing"


def test_the_digest_tells_what_is_done_and_not_what_it_is_called() -> None:
    assert BASIC.digest == Profile(name="renamed").digest
    assert BASIC.digest != Profile(name="basic", options=frozenset({"retain_uids"})).digest
