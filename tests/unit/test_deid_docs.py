"""The reference page says what the code does. Run this file as a program to write its tables anew."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from pydicom.datadict import dictionary_description

from clic_edge.deid.policy import TECHNICAL_TEXT
from clic_edge.deid.sop_classes import SOP_CLASSES, PixelRisk
from clic_edge.deid.standard import confidentiality_rows

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
    assert {code for code in raised if f"`{code}`" not in text} == {"unwritable-element"}


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(START) + len(START), text.index(END)
    PAGE.write_text(text[:start] + generated() + text[end:], encoding="utf-8")
