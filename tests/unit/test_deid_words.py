"""No text of any attribute that the data dictionary knows comes through, but for those on a list."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from deid_plants import PSEUDONYM, SOURCE, STRUCTURED_REPORT
from pydicom._dicom_dict import DicomDictionary

from clic_edge.deid import Profile, load_profile
from clic_edge.deid.clean import Cleaner, StandIns
from clic_edge.deid.options import EXCLUSIVE
from clic_edge.deid.part10 import Element
from clic_edge.deid.policy import TECHNICAL_TEXT, compiled
from clic_edge.deid.standard import confidentiality_rows, option_names
from clic_edge.deid.values import TEXT_VRS

if TYPE_CHECKING:
    from pathlib import Path

WORD = b"Qwxzyfugl"
MR, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.11.1"
BYTES_THAT_STAY = {
    0x00282000,  # ICC Profile
    0x00189810,  # Zero Velocity Pixel Value
    0x003A0112,  # waveforms and their padding
    0x54000110,
    0x54000112,
    0x5400100A,
    0x54001010,
}


@cache
def _plants() -> tuple[Element, ...]:
    """Return the word in every attribute that holds characters or bytes."""
    vrs = {tag: entry[0].split(" or ")[-1] for tag, entry in DicomDictionary.items()}
    return tuple(
        Element(tag, vr, WORD, None, encapsulated=False)
        for tag, vr in sorted(vrs.items())
        if vr in TEXT_VRS | {"OB", "UN"} and tag >> 16 != 0x7FE0
    )


def _profile(root: Path, name: str) -> Profile:
    if name == "all options":
        return Profile(name=name, options=frozenset(option_names()) - {EXCLUSIVE[0][0]})
    return load_profile(root / "configs" / "deid" / f"{name}.toml")


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize("sop_class", [MR, STRUCTURED_REPORT, PRESENTATION_STATE])
@pytest.mark.parametrize("name", ["basic", "research", "monitoring", "all options"])
def test_a_word_that_is_on_no_list_is_left_only_where_an_option_keeps_text(
    root: Path, name: str, sop_class: str, *, nested: bool
) -> None:
    profile = _profile(root, name)
    cleaner = Cleaner(compiled(profile, sop_class), SOURCE.encoding, StandIns(PSEUDONYM))
    cleaned = cleaner.dataset(_plants(), nested=nested)
    left = {tag for tag, element in cleaned.items() if WORD in element}
    kept = {
        row.tag
        for row in confidentiality_rows()
        if "K" in {code for option, code in row.options if option in profile.options}
    }
    assert left <= kept | TECHNICAL_TEXT | BYTES_THAT_STAY


def test_the_word_is_planted_in_more_than_two_thousand_attributes() -> None:
    assert len(_plants()) > 2000
