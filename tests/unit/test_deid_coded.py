"""Coded strings are of the words of the standard's defined terms.

Run this file as a program, with tests on PYTHONPATH, to write ``tables/coded_words.json`` anew: it takes the string constants
of dciodvfy (dicom3tools), which holds the defined terms of PS3.3.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from deid_plants import WRITER, cleaned, value

from clic_edge.deid.coded import coded_string, is_coded
from clic_edge.deid.standard import table

TARGET = Path(__file__).parents[2] / "src/clic_edge/deid/tables/coded_words.json"


def defined_terms() -> list[str]:
    """Return the words of the terms that the installed dciodvfy knows."""
    program = shutil.which("dciodvfy")
    if program is None or shutil.which("objcopy") is None:
        pytest.skip("dciodvfy (dicom3tools) or objcopy (binutils) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        constants = Path(folder) / "constants"
        section = ["objcopy", "-O", "binary", "--only-section=.rodata", program, str(constants)]
        subprocess.run(section, check=True)
        strings = constants.read_bytes().split(b"\0")
    # The linker lets a constant be the end of another: a term may stand behind other letters.
    terms = [re.sub(r".*[^A-Z0-9_ ]", "", term.decode("latin-1")) for term in strings]
    words = {word for term in terms for word in re.findall(r"[A-Z]{3,16}", term)}
    return sorted(words)


def test_the_words_are_those_of_the_defined_terms() -> None:
    assert json.loads(table("coded_words"))["words"]["defined"] == defined_terms()


@pytest.mark.parametrize(
    "term",
    [
        "",
        "ORIGINAL",
        "M_FFE",
        "SAT2",
        "FAST_GEMS",
        "PFP",
        "ISO_IR 100",
        "ISO 2022 IR 87",
        "GB18030",
        "LEFT",
        "YBR_FULL_422",
        "MONOCHROME2",
        "1500",
        "PARTIALBODY",
        "ELLIPSE",
    ],
)
def test_a_term_is_kept(term: str) -> None:
    assert is_coded(term.encode())


@pytest.mark.parametrize(
    "text", ["JENSEN", "ANNA_JENSEN", "AXIAL JENSEN", "19330917", "1709331234", "Head", "AX\tIAL"]
)
def test_what_is_no_term_is_not(text: str) -> None:
    assert not is_coded(text.encode())
    assert coded_string(b"AXIAL\\" + text.encode()) == b"AXIAL\\REMOVED"


def test_only_the_values_that_are_no_terms_are_replaced() -> None:
    plants = {0x00080008: WRITER.element(0x00080008, "CS", b"ORIGINAL\\PRIMARY\\JENSEN\\M")}
    assert value(cleaned(plants)[0x00080008]) == b"ORIGINAL\\PRIMARY\\REMOVED\\M"


if __name__ == "__main__":
    content = json.loads(TARGET.read_text(encoding="utf-8"))
    content["words"]["defined"] = defined_terms()
    TARGET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
