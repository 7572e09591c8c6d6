"""What each IOD defines, made from highdicom's copy of the standard.

Run this file as a program, with tests on PYTHONPATH, to write ``tables/iod_attributes.json`` anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deid_plants import WRITER, cleaned, cleaned_deep, value
from every import every
from highdicom._standard_utils import (
    get_iod_module_map,
    get_module_attribute_map,
    get_sop_class_iod_map,
)
from pydicom.datadict import tag_for_keyword

from clic_edge.deid.iods import defined_attributes
from clic_edge.deid.sop_classes import SOP_CLASSES
from clic_edge.deid.standard import table

NOTICE = "DICOM PS3.3, © NEMA, as highdicom 0.28 (MIT) carries it"
STORAGE = "1.2.840.10008.5.1.4.1.1."
SUCCESSORS = {
    STORAGE + "3": STORAGE + "3.1",
    STORAGE + "5": STORAGE + "20",
    STORAGE + "6": STORAGE + "6.1",
}
"""Retired classes without an IOD of their own: they are read as the class that took their place."""


def generated() -> dict[str, object]:
    """Return the table: the modules of each SOP class, and the tags of each module."""
    iods, classes = get_iod_module_map(), get_sop_class_iod_map()
    uses = {
        uid: [module["key"] for module in iods[classes[SUCCESSORS.get(uid, uid)]]]
        for uid in sorted(SOP_CLASSES)
    }
    keys = sorted({key for used in uses.values() for key in used})
    return {
        "acknowledgement": NOTICE,
        "modules": {key: tags(key) for key in keys},
        "sop_classes": uses,
    }


def tags(module: str) -> dict[str, str]:
    attributes = get_module_attribute_map()[module]
    found: dict[str, set[int]] = {"top": set(), "nested": set()}
    for attribute in attributes:
        tag = tag_for_keyword(attribute["keyword"])
        if tag is not None:  # overlays have no keyword without a group number
            found["nested" if attribute["path"] else "top"].add(tag)
    return {place: " ".join(f"{tag:08X}" for tag in sorted(of)) for place, of in found.items()}


def test_the_shipped_attributes_are_those_of_the_iods() -> None:
    assert json.loads(table("iod_attributes")) == generated()


@every(sorted(SOP_CLASSES))
def test_every_class_that_can_be_cleaned_has_an_iod(uid: str) -> None:
    defined = defined_attributes(uid)
    assert {0x00080016, 0x00100010, 0x0020000D} <= defined.top
    assert defined.nested


MR_SERIES = {
    "of the IOD": (0x00180023, "CS", b"2D", True),
    "of another IOD": (0x00180060, "DS", b"120", False),
    "text of the IOD": (0x00180024, "SH", b"SEQ 1", True),
    "text of the IOD that no list names": (0x00080060 + 0x08, "CS", b"FOR PROCESSING", False),
    "a UID by its role": (0x00200052, "UI", b"1.2.3.4.5555", False),
    "how pixels are read": (0x00281053, "DS", b"0.5", True),
    "where pixels lie": (0x00180088, "DS", b"2.5", True),
    "a coded string that is none": (0x00180023, "CS", b"Jensen", False),
    "a decimal that is none": (0x00180050, "DS", b"170933-1234", False),
    "a date that no row names": (0x00209FFF, "DA", b"20200517", False),
}


@pytest.mark.parametrize("case", MR_SERIES)
def test_what_no_row_names_is_kept_if_the_iod_has_it_and_it_is_what_it_says(case: str) -> None:
    tag, vr, source, is_kept = MR_SERIES[case]
    found = cleaned({tag: WRITER.element(tag, vr, source)})
    assert (tag in found and value(found[tag]) == source) == is_kept


def test_inside_a_sequence_the_iods_nested_attributes_count() -> None:
    plants = {
        0x00081150: WRITER.element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.4"),
        0x00180060: WRITER.element(0x00180060, "DS", b"120"),
    }
    assert {*cleaned_deep(plants)} == {0x00081150}


if __name__ == "__main__":
    target = Path(__file__).parents[2] / "src/clic_edge/deid/tables/iod_attributes.json"
    target.write_text(json.dumps(generated(), indent=0) + "\n", encoding="utf-8")
