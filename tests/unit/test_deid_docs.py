"""The reference page says what the code does. Run this file as a program to write its tables anew."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_description

from clic_edge.deid.content_items import content_rows
from clic_edge.deid.descriptors import rebuilt
from clic_edge.deid.policy import TECHNICAL_TEXT
from clic_edge.deid.sop_classes import SOP_CLASSES, PixelRisk
from clic_edge.deid.standard import confidentiality_rows, option_names

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "deidentification.md"
START, END = "<!-- generated: run tests/unit/test_deid_docs.py -->\n", "<!-- end -->\n"


def generated() -> str:
    """Return the tables of the page."""
    codes = Counter(row.basic_profile for row in confidentiality_rows())
    risks = Counter(SOP_CLASSES.values())
    lines = ["| code of the Basic Profile | rows |", "|---|---|"]
    lines += [f"| {code} | {count} |" for code, count in codes.most_common()]
    lines += [
        f"| all | {codes.total()} |",
        "",
        "| SOP classes by their pixels | count |",
        "|---|---|",
    ]
    lines += [f"| {risk.value} | {risks[risk]} |" for risk in PixelRisk]
    cells = Counter(option for row in confidentiality_rows() for option, _ in row.options)
    lines += ["", "| option | rows of E.1-1 | rows of E.3.4-1 |", "|---|---|---|"]
    items = Counter(option for row in content_rows() for option, _ in row.options)
    lines += [f"| {option} | {cells[option]} | {items[option]} |" for option in option_names()]
    lines += [f"| all | {cells.total()} | {items.total()} |"]
    lines += ["", "Technical text that is kept:"]
    lines += [
        f"- ({tag >> 16:04X},{tag & 0xFFFF:04X}) {dictionary_description(tag)}"
        for tag in sorted(TECHNICAL_TEXT)
    ]
    return "\n".join([*lines, ""])


def test_the_page_holds_the_tables_that_the_code_has() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(START) + len(START) : text.index(END)] == generated()


def test_the_pages_name_every_error_code_that_de_identification_raises(root: Path) -> None:
    package = root / "src" / "clic_edge" / "deid"
    stages = [p.read_text() for p in package.glob("*.py") if p.stem not in {"keys", "profile"}]
    raised = set(re.findall(r"(?:Refusal|Defect)\(\s*\"([a-z-]+)\"", "\n".join(stages)))
    text = "\n".join(page.read_text(encoding="utf-8") for page in (root / "docs").rglob("*.md"))
    assert len(raised) > 6
    assert not {code for code in raised if f"`{code}`" not in text}


def test_the_page_names_every_option(root: Path) -> None:
    text = (root / "docs" / "reference" / "deidentification.md").read_text(encoding="utf-8")
    assert not {option for option in option_names() if f"| `{option}` |" not in text}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("HippoCrop^Jensen", "HippoCrop"),
        ("XR CHEST AP PORTABLE for Scott Kaufman", "XR CHEST AP"),
    ],
)
def test_the_page_shows_descriptors_as_they_become(root: Path, text: str, left: str) -> None:
    page = (root / "docs" / "reference" / "deidentification.md").read_text(encoding="utf-8")
    assert f"`{text}` becomes `{left}`" in page
    assert rebuilt(text.encode(), "LO", frozenset()) == left.encode()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(START) + len(START), text.index(END)
    PAGE.write_text(text[:start] + generated() + text[end:], encoding="utf-8")
