"""Descriptors are rebuilt from allowed words. Run this file as a program to renew the anatomy words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from highdicom._standard_utils import get_anatomic_region_map
from hypothesis import given, settings
from hypothesis import strategies as st

from clic_edge.deid.descriptors import rebuilt, words
from clic_edge.deid.standard import table

NOBODY: frozenset[bytes] = frozenset()
_SHORTEST = 3
NAMES = {"willis", "morisons"}
"""Words of anatomy that are names of persons, too."""


def anatomy() -> list[str]:
    """Return the words of PS3.16 Annex L: Body Part Examined terms and what they mean."""
    found = set()
    for term, (code, _) in get_anatomic_region_map().items():
        found |= {term.lower(), *re.findall(r"[a-z0-9]+", code.meaning.lower())}
    return sorted(word for word in found - NAMES if len(word) >= _SHORTEST and word.isalnum())


def test_the_anatomy_words_are_those_of_annex_l() -> None:
    assert json.loads(table("descriptor_words"))["words"]["anatomy"] == anatomy()


def test_no_word_is_a_name_of_persons_too() -> None:
    common = b"willis morison jensen nielsen hansen pedersen andersen smith miller brown wilson"
    common += b" anna maria peter john mary lars mette hanne jan kim bo li lee wang rose mark grant"
    assert not {*common.split()} & words().allowed


def test_no_word_is_a_finding_that_a_dropped_word_could_turn_round() -> None:
    findings = b"tumor tumour cancer fracture lesion normal bleeding infarct metastasis stenosis"
    assert not {*findings.split()} & words().allowed
    assert {b"contrast", b"without", b"no"} <= words().only_whole


@pytest.mark.parametrize(
    "text",
    [
        "HippoCrop",
        "t1_mprage_sag_p2_iso 1.0mm",
        "AX T2 FLAIR 5 mm",
        "CT Thorax/Abdomen without contrast",
        "ep2d_diff b1000 TE 90",
        "Knee L",
        "B30f brain 0.6x0.6x3mm",
        "THORAX  2D",
        "MRI ABDOMEN W+WO CONT",
    ],
)
def test_what_is_understood_whole_stays_as_it_is(text: str) -> None:
    assert rebuilt(text.encode(), "LO", NOBODY) == text.encode()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("HippoCrop^Jensen", "HippoCrop"),
        ("JensenHead", "Head"),
        ("brain of Jensen, 17.09.1933", "brain"),
        ("call 12 34 56 78 CT", "CT"),
        ("CPR 170933-1234 knee", "knee"),
        ("Jensen wants no contrast for the abdomen", "abdomen"),
        ("Knee L Jensen", "Knee"),
        ("T1 MPRAGE 2026-03-04", "T1 MPRAGE"),
        ("ward 17 T2 at 3 T", "T2 3 T"),
    ],
)
def test_what_is_not_understood_is_dropped(text: str, left: str) -> None:
    assert rebuilt(text.encode(), "LO", NOBODY) == left.encode()


@pytest.mark.parametrize("text", ["", "Jensen", "L", "17", "5 mm", "Anna L R", "1234567", "Åse"])
def test_what_says_nothing_becomes_nothing(text: str) -> None:
    assert rebuilt(text.encode(), "LO", NOBODY) is None


def test_each_value_of_several_is_rebuilt_by_itself_and_long_text_has_but_one() -> None:
    assert rebuilt(b"BRAIN\\Jensen\\knee x", "LO", NOBODY) == b"BRAIN\\\\knee"
    assert rebuilt(b"BRAIN\\KNEE", "LT", NOBODY) == b"BRAIN KNEE"


def test_a_word_that_names_a_person_of_the_same_object_is_not_understood() -> None:
    assert rebuilt(b"Hand and knee", "LO", frozenset([b"hand"])) == b"knee"


def test_a_coded_string_stays_one() -> None:
    assert rebuilt(b"HEAD\\KNEE", "CS", NOBODY) == b"HEAD\\KNEE"
    assert rebuilt(b"head", "CS", NOBODY) is None


@pytest.mark.slow
@given(st.text(max_size=64))
@settings(max_examples=200, deadline=None)
def test_nothing_but_words_measures_and_parameters_is_left(text: str) -> None:
    left = rebuilt(text.encode("utf-8"), "LT", NOBODY) or b""
    assert left.isascii()
    for chunk in re.findall(rb"[A-Za-z]{4,}", left):
        parts = re.findall(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", chunk)
        assert chunk.lower() in words().allowed or {p.lower() for p in parts} <= words().allowed


if __name__ == "__main__":
    target = Path(__file__).parents[2] / "src/clic_edge/deid/tables/descriptor_words.json"
    content = json.loads(target.read_text(encoding="utf-8"))
    content["words"]["anatomy"] = anatomy()
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
