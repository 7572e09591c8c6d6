"""How many references still resolve, and the ten actions of MIDI-B."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from midi_b import Asked, Score, answer_key, score  # noqa: E402 - on the path above

from clic_edge.deid import DeidKey, Profile, deidentify, load_profile  # noqa: E402 - on the path above
from clic_edge.domain.study import Instance, Series  # noqa: E402 - on the path above
from clic_edge.errors import ClicEdgeError  # noqa: E402 - on the path above

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom.dataset import Dataset

KEY = DeidKey(b"k" * 32)
TARGETS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
Path_ = tuple[int, ...]
"""Tags and numbers of items, in turn."""


def references(files: Path, outputs: Path, ways: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return by way how many references to an instance, series, study or frame lead to it."""
    sources = _datasets(files)
    targets = {
        str(ds[keyword].value): (name, keyword)
        for name, ds in reversed(sources.items())
        for keyword in TARGETS
        if keyword in ds
    }
    known = {
        (name, path): targets[uid]
        for name, ds in sources.items()
        for path, uid in _nested_uids(ds)
        if uid in targets
    }
    told = {}
    for way in ways:
        cleaned = _datasets(outputs / way / "all")
        right = 0
        for (name, path), (target, keyword) in known.items():
            if name in cleaned and target in cleaned:
                new = str(cleaned[target].get(keyword, ""))
                right += _at(cleaned[name], path) == new != ""
        told[way] = (right, len(known))
    return told


def _datasets(folder: Path) -> dict[str, Dataset]:
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(folder.rglob("*.dcm")):
            try:
                ds = pydicom.dcmread(path, force=True, defer_size=4096)
                ds.walk(lambda _, element: element.value)
            except Exception:  # noqa: BLE001, S112 - the set holds broken files on purpose
                continue
            found[path.name] = ds
    return found


def _nested_uids(ds: Dataset, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    for element in ds:
        if element.VR == "SQ":
            for number, one in enumerate(element.value):
                yield from _nested_uids(one, (*path, int(element.tag), number))
        elif path and element.VR == "UI" and element.VM == 1:
            yield (*path, int(element.tag)), str(element.value)


def _at(ds: Dataset, path: Path_) -> str:
    *steps, tag = path
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        if sequence not in ds or len(ds[sequence].value) <= number:
            return ""
        ds = ds[sequence].value[number]
    return str(ds[tag].value) if tag in ds else ""


def midi_b() -> dict[str, Score]:
    """Return the score of each profile."""
    research = load_profile(ROOT / "configs" / "deid" / "research.toml")
    profiles = {
        "basic": load_profile(ROOT / "configs" / "deid" / "basic.toml"),
        "research": research,
        "research, pixels redacted": replace(research, pixels="redact"),
    }
    key = answer_key()
    return {
        name: score(key, [_clean(asked, profile) for asked in key])
        for name, profile in profiles.items()
    }


def _clean(asked: Asked, profile: Profile) -> bytes | None:
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id=asked.patient_id,
        issuer_of_patient_id="",
        instances=(Instance(content=asked.content),),
    )
    try:
        clean = deidentify(series, profile, KEY.pseudonym(asked.patient_id, ""))
    except ClicEdgeError:
        return None
    return clean.instances[0].content
