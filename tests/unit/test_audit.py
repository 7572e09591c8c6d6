"""The audit finds a known vulnerability by version and by range, and says when nobody was asked."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "appliance"))

import audit
from parts import Part


def part(name: str, version: str) -> Part:
    return Part(
        name=name,
        version=version,
        kind="library",
        source="Python",
        reference=name,
        licences=("MIT",),
    )


def advisories(path: Path, *affected: dict[str, object]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, one in enumerate(affected):
            text = {"id": f"PYSEC-{number}", "summary": "bad", "affected": [one]}
            archive.writestr(f"PYSEC-{number}.json", json.dumps(text))
    return path


def between(*events: dict[str, str]) -> dict[str, object]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    return {"package": {"ecosystem": "PyPI", "name": "Pillow"}, "ranges": ranges}


@pytest.mark.parametrize(
    ("version", "event", "is_found"),
    [
        ("9.4", {"fixed": "10.0"}, True),
        ("10.0", {"fixed": "10.0"}, False),
        ("10.0", {"last_affected": "10.0"}, True),
        ("10.1", {"last_affected": "10.0"}, False),
        ("not a version", {"fixed": "10.0"}, True),
    ],
)
def test_a_range_of_versions_is_read_as_osv_means_it(
    tmp_path: Path, version: str, event: dict[str, str], *, is_found: bool
) -> None:
    file = advisories(tmp_path / "all.zip", between({"introduced": "0"}, event))
    assert bool(list(audit.known([part("pillow", version)], file))) is is_found


def test_a_version_that_is_listed_is_found_and_another_part_is_not(tmp_path: Path) -> None:
    listed = {"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1.0"]}
    file = advisories(tmp_path / "all.zip", listed, between({"introduced": "2"}))
    assert list(audit.known([part("a", "1.0"), part("pillow", "1.0")], file)) == [
        "a 1.0: PYSEC-0 bad"
    ]
