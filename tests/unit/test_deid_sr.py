"""Every row of Table E.3.4-1 is done, by option; what no row names is denied; the tree stays one."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

import pydicom
import pytest
from deid_plants import (
    PSEUDONYM,
    STRUCTURED_REPORT,
    UID,
    WRITER,
    by_tag,
    clean_bytes,
    cleaned,
    code,
    value,
)
from every import every

from clic_edge.deid.content_items import VALUES, ContentRow, content_rows
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.options import CONTENT
from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.deid.part10 import Element

ROWS = content_rows()
CASES = [(row, option) for row in ROWS for option in ["", *(name for name, _ in row.options)]]
CONTENT_SEQUENCE, VALUE_TYPE, CONCEPT, REFERENCE = 0x0040A730, 0x0040A040, 0x0040A043, 0x00081199
SOURCES = {
    "TEXT": b"BRAIN QWX7TOKN",
    "PNAME": b"Zzyplant^Arr",
    "DATE": b"19870605",
    "TIME": b"112233",
    "DATETIME": b"19870605112233+0100",
    "UIDREF": UID,
}
DUMMIES = {
    "TEXT": b"REMOVED",
    "PNAME": b"REMOVED",
    "DATE": b"19000101",
    "TIME": b"000000",
    "DATETIME": b"19000101000000",
    "UIDREF": keyed_uid(UID.decode(), PSEUDONYM).encode(),
}


def _item(scheme: str, code_value: str, kind: str, *more: bytes) -> bytes:
    parts = {
        0x0040A010: WRITER.element(0x0040A010, "CS", b"CONTAINS"),
        VALUE_TYPE: WRITER.element(VALUE_TYPE, "CS", kind.encode()),
        CONCEPT: code(CONCEPT, code_value, scheme, "meaning"),
    }
    if kind in VALUES:
        tag, vr = VALUES[kind]
        parts[tag] = WRITER.element(tag, vr, SOURCES[kind])
    elif kind in {"IMAGE", "COMPOSITE", "WAVEFORM"}:
        reference = WRITER.element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.4")
        reference += WRITER.element(0x00081155, "UI", UID)
        parts[REFERENCE] = WRITER.sequence(REFERENCE, [reference])
    elif kind == "CODE":
        parts[0x0040A168] = code(0x0040A168, "248152002", "SCT", "Female")
    elif kind == "NUM":
        number = code(0x004008EA, "a", "UCUM", "year") + WRITER.element(0x0040A30A, "DS", b"77")
        parts[0x0040A300] = WRITER.sequence(0x0040A300, [number])
    elif kind == "CONTAINER":
        parts[0x0040A050] = WRITER.element(0x0040A050, "CS", b"SEPARATE")
    return b"".join(parts[tag] for tag in sorted(parts)) + b"".join(more)


def _children(*items: bytes) -> bytes:
    return WRITER.sequence(CONTENT_SEQUENCE, items)


Items = dict[tuple[str, str, str], dict[int, "Element"]]


def _by_concept(sequence: Element) -> Items:
    found = {}
    for item in sequence.items or ():
        elements = by_tag(item)
        named = by_tag((elements[CONCEPT].items or ((),))[0])
        names = (value(e).decode() for e in (named[0x00080102], named[0x00080100]))
        scheme, code_value = names
        found[scheme, code_value, value(elements[VALUE_TYPE]).decode()] = elements
    return found


@cache
def _results(*options: str) -> Items:
    items = [_item(row.scheme, row.code_value, row.value_type) for row in ROWS]
    found = cleaned({CONTENT_SEQUENCE: _children(*items)}, *options, sop_class=STRUCTURED_REPORT)
    return _by_concept(found[CONTENT_SEQUENCE])


def _shown(item: dict[int, Element]) -> bytes:
    """Return what an item says."""
    kind = value(item[VALUE_TYPE]).decode()
    if kind in VALUES:
        return value(item[VALUES[kind][0]])
    if REFERENCE in item:
        return value(by_tag((item[REFERENCE].items or ((),))[0])[0x00081155])
    return b"what it said"


def _expected(row: ContentRow, action: str, option: str) -> bytes | None:
    """Return what an item says after an action, None if it is gone; reckoned in another way."""
    kind = row.value_type
    if action == "X":
        return None
    if action == "K":
        is_reference = kind in {"IMAGE", "COMPOSITE", "WAVEFORM"}
        return UID if is_reference else SOURCES.get(kind, b"what it said")
    if action == "C" and option == "clean_descriptors":
        return b"BRAIN"
    if action == "C":
        moved = (date(1987, 6, 5) + timedelta(PSEUDONYM.date_shift_days)).strftime("%Y%m%d")
        return SOURCES[kind] if kind == "TIME" else moved.encode() + SOURCES[kind][8:]
    return DUMMIES.get(kind, DUMMIES["UIDREF"])


@every(CASES, named=lambda case: f"{case[0].code_value} {case[0].value_type} {case[1]}".strip())
def test_the_row_is_done(case: tuple[ContentRow, str]) -> None:
    row, option = case
    action = dict(row.options).get(option, row.basic_profile)
    items = _results(CONTENT, *filter(None, [option]))
    item = items.get((row.scheme, row.code_value, row.value_type))
    assert (_shown(item) if item else None) == _expected(row, action, option)


def test_the_table_has_211_rows() -> None:
    assert len(ROWS) == len({(row.scheme, row.code_value, row.value_type) for row in ROWS}) == 211


@pytest.mark.parametrize("kind", VALUES)
def test_what_no_row_names_is_denied_with_every_option(kind: str) -> None:
    plant = _children(_item("DCM", "121207", kind))
    options = (CONTENT, "clean_descriptors", "retain_longitudinal_full_dates", "retain_uids")
    found = cleaned({CONTENT_SEQUENCE: plant}, *options, sop_class=STRUCTURED_REPORT)
    (item,) = _by_concept(found[CONTENT_SEQUENCE]).values()
    assert _shown(item) == DUMMIES[kind]


def test_a_text_under_another_value_type_is_gone() -> None:
    text = WRITER.element(0x0040A160, "UT", b"QWX7TOKN")
    plant = _children(_item("DCM", "121207", "CODE", text))
    found = cleaned({CONTENT_SEQUENCE: plant}, CONTENT, sop_class=STRUCTURED_REPORT)
    (item,) = _by_concept(found[CONTENT_SEQUENCE]).values()
    assert 0x0040A160 not in item


def test_without_the_option_nothing_of_the_content_is_left() -> None:
    plant = _children(*(_item(row.scheme, row.code_value, row.value_type) for row in ROWS))
    found = cleaned({CONTENT_SEQUENCE: plant}, sop_class=STRUCTURED_REPORT)
    ((dummy),) = _by_concept(found[CONTENT_SEQUENCE]).values()
    assert _shown(dummy) == b"REMOVED"


def test_references_by_position_follow_their_items_and_go_with_them() -> None:
    def pointer(*path: int) -> bytes:
        target = b"".join(number.to_bytes(4, "little") for number in (1, *path))
        return WRITER.element(0x0040A010, "CS", b"INFERRED FROM") + WRITER.element(
            0x0040DB73, "UL", target
        )

    accession = _item("DCM", "121022", "TEXT")  # X
    kept = _item("DCM", "112040", "UIDREF")  # D
    group = _item("DCM", "125007", "CONTAINER", _children(accession, kept))
    plant = _children(accession, group, pointer(2, 2), pointer(2, 1), pointer(2))
    found = cleaned({CONTENT_SEQUENCE: plant}, CONTENT, sop_class=STRUCTURED_REPORT)
    targets = [
        bytes(by_tag(item)[0x0040DB73].value)
        for item in found[CONTENT_SEQUENCE].items or ()
        if 0x0040DB73 in by_tag(item)
    ]
    assert [[*memoryview(target).cast("I")] for target in targets] == [[1, 1, 1], [1, 1]]


def test_snomed_in_its_old_form_is_the_same_concept() -> None:
    plant = _children(_item("SRT", "G-C0E3", "TEXT"))  # Finding Site: D, cleaned by option
    options = (CONTENT, "clean_descriptors")
    found = cleaned({CONTENT_SEQUENCE: plant}, *options, sop_class=STRUCTURED_REPORT)
    (item,) = _by_concept(found[CONTENT_SEQUENCE]).values()
    assert _shown(item) == b"BRAIN"


def _reports(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".dcm", ""} and path.is_file():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ds = pydicom.dcmread(path, force=True, specific_tags=["Modality"])
            if ds.get("Modality") in {"SR", "KO"}:
                found.append(path)
    return found


def _errors(path: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return {re.sub(r"<[0-9.]+>", "<UID>", line) for line in lines if line.startswith("Error")}


@pytest.mark.slow
def test_real_reports_stay_readable_and_valid(test_data: Path, tmp_path: Path) -> None:
    if shutil.which("dsrdump") is None or shutil.which("dciodvfy") is None:
        pytest.skip("dsrdump (dcmtk) or dciodvfy (dicom3tools) is not installed")
    options = (CONTENT, "clean_descriptors", "retain_longitudinal_modified_dates")
    paths, outcomes = _reports(test_data / "dicom" / "seg-sr"), []
    for path in paths:
        try:
            output = clean_bytes(path.read_bytes(), *options)
        except ClicEdgeError as error:
            outcomes.append(error.code)
            continue
        cleaned_path = tmp_path / "clean.dcm"
        cleaned_path.write_bytes(output)
        dumps = [
            subprocess.run(["dsrdump", str(p)], capture_output=True, check=False).returncode
            for p in (path, cleaned_path)
        ]
        assert dumps[1] <= dumps[0], path.name
        assert not _errors(cleaned_path) - _errors(path), path.name
        outcomes.append("clean")
    assert outcomes.count("clean") == len(paths) > 3
