"""The sealed way back: opens with the key, for its study, until its day; and results find home."""

from __future__ import annotations

import io
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, ramp
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from clic_edge import telemetry
from clic_edge.deid import BASIC, DeidKey
from clic_edge.deid.batch import Crosswalks, Order, clean_all, sources_below
from clic_edge.deid.crosswalk import SUFFIX, Crosswalk, Entry, drop_expired, expiry, seal, unseal
from clic_edge.deid.file import Bench
from clic_edge.deid.restore import restore, study_of
from clic_edge.errors import ClicEdgeError, ConfigError, Refusal
from clic_edge.pipeline.worker import sweep

if TYPE_CHECKING:
    from pathlib import Path

KEY = DeidKey(b"one key of thirty-two bytes, yes")
OTHER_KEY = DeidKey(b"another key of thirty-two bytes!")
NOW = datetime(2026, 3, 4, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
SCOPE = "2.25.1234"
ENTRY = Entry(
    subject_id="CE-X",
    patient_id=CANARY.patient_id,
    issuer_of_patient_id="",
    patient_name=CANARY.name,
    uids={"2.25.1": "1.2.3.77777777"},
)
SECRETS = ("Kanarie", "Gulnæb", CANARY.patient_id, "77777777")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    seal(tmp_path, SCOPE, ENTRY, key=KEY, expires_at=LATER)
    return tmp_path / f"{SCOPE}{SUFFIX}"


def _caught(folder: Path, scope: str = SCOPE, key: DeidKey = KEY, now: datetime = NOW) -> str:
    with pytest.raises(ClicEdgeError) as caught:
        unseal(folder, scope, key, now=now)
    assert not [secret for secret in SECRETS if secret in str(caught.value)]
    return caught.value.code


def test_what_was_sealed_comes_back(sealed: Path) -> None:
    more = replace(ENTRY, uids={"2.25.2": "1.2.4"})
    seal(sealed.parent, SCOPE, more, key=KEY, expires_at=LATER)
    opened = unseal(sealed.parent, SCOPE, KEY, now=NOW)
    assert dict(opened.uids) == {"2.25.1": "1.2.3.77777777", "2.25.2": "1.2.4"}
    assert (opened.patient_id, opened.patient_name) == (CANARY.patient_id, CANARY.name)
    assert not [secret for secret in SECRETS if secret in repr(opened)]


def test_the_file_is_its_owners_only_and_shows_nothing(sealed: Path) -> None:
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    shown = sealed.read_bytes()
    assert not [secret for secret in SECRETS if secret.encode() in shown]


def test_without_the_key_it_does_not_open(sealed: Path) -> None:
    assert _caught(sealed.parent, key=OTHER_KEY) == "crosswalk-sealed"


def test_after_its_day_it_does_not_open(sealed: Path) -> None:
    unseal(sealed.parent, SCOPE, KEY, now=LATER - timedelta(seconds=1))
    assert _caught(sealed.parent, now=LATER) == "crosswalk-expired"


def test_a_later_day_can_not_be_written_in(sealed: Path) -> None:
    sealed.write_bytes(sealed.read_bytes().replace(b"2026-04-03", b"2036-04-03"))
    assert _caught(sealed.parent) == "crosswalk-sealed"


def test_it_does_not_open_for_another_study(sealed: Path) -> None:
    content = sealed.read_bytes()
    (sealed.parent / f"2.25.9{SUFFIX}").write_bytes(content)
    assert _caught(sealed.parent, scope="2.25.9") == "crosswalk-sealed"
    forged = content.replace(SCOPE.encode(), b"2.25.9")
    (sealed.parent / f"2.25.9{SUFFIX}").write_bytes(forged)
    assert _caught(sealed.parent, scope="2.25.9") == "crosswalk-sealed"
    assert _caught(sealed.parent, scope="2.25.8") == "no-crosswalk"


@pytest.mark.parametrize("at", [0.1, 0.6, 0.9])
def test_a_changed_byte_is_seen(sealed: Path, at: float) -> None:
    content = bytearray(sealed.read_bytes())
    content[int(at * len(content))] ^= 1
    sealed.write_bytes(content)
    assert _caught(sealed.parent) in {"crosswalk-sealed", "no-crosswalk"}


def test_a_line_that_a_crash_left_unfinished_is_dropped(sealed: Path) -> None:
    whole = sealed.read_bytes()
    sealed.write_bytes(whole + whole.splitlines()[1][:20])
    assert len(unseal(sealed.parent, SCOPE, KEY, now=NOW).uids) == 1
    more = replace(ENTRY, uids={"2.25.2": "1.2.4"})
    seal(sealed.parent, SCOPE, more, key=KEY, expires_at=LATER)
    assert len(unseal(sealed.parent, SCOPE, KEY, now=NOW).uids) == 2


def test_another_key_adds_nothing_to_it(sealed: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        seal(sealed.parent, SCOPE, ENTRY, key=OTHER_KEY, expires_at=LATER)
    assert caught.value.code == "crosswalk-foreign"


def test_what_has_expired_can_be_deleted(sealed: Path) -> None:
    seal(sealed.parent, "2.25.5", ENTRY, key=KEY, expires_at=expiry(400, NOW))
    assert drop_expired(sealed.parent, NOW) == 0
    assert drop_expired(sealed.parent, LATER) == 1
    assert [path.name for path in sealed.parent.iterdir()] == [f"2.25.5{SUFFIX}"]


def test_a_broken_crosswalk_keeps_no_other_from_being_deleted(sealed: Path) -> None:
    broken = sealed.parent / f"2.25.0{SUFFIX}"
    broken.write_bytes(b"no crosswalk")
    assert drop_expired(sealed.parent, LATER) == 1
    assert list(sealed.parent.iterdir()) == [broken]


def test_a_sweep_deletes_what_has_expired_once_and_tells_how_many(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(sealed.parent, "2.25.5", ENTRY, key=KEY, expires_at=LATER + timedelta(days=1))
    told: list[int] = []
    monkeypatch.setattr(telemetry, "crosswalks_expired", lambda *, count: told.append(count))
    for now in (NOW, LATER, LATER):
        sweep(sealed.parent, now)
    assert told == [1]
    assert [path.name for path in sealed.parent.iterdir()] == [f"2.25.5{SUFFIX}"]


def test_a_folder_that_keeps_what_has_expired_is_told_of(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    told: list[str] = []
    monkeypatch.setattr(telemetry, "sweep_failed", lambda *, code: told.append(code))
    monkeypatch.setattr(type(sealed), "unlink", kept)
    sweep(sealed.parent, LATER)
    assert told == ["crosswalk-kept"]


def _cohort(tmp_path: Path, key: DeidKey = KEY) -> tuple[list[Dataset], list[Dataset], Path]:
    """Return the datasets of a study, those of its clean copy, and the crosswalks' folder."""
    sources = make_datasets(canary_stack(), ramp((4, 4, 6)))
    for number, ds in enumerate(sources):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}").write_bytes(file_bytes(ds))
    bench = Bench(profile=BASIC, key=key, out=tmp_path / "out", keeps_uids=True)
    crosswalks = Crosswalks(folder=tmp_path / "crosswalks", expires_at=LATER)
    order = Order(bench=bench, crosswalks=crosswalks)
    summary = clean_all(sources_below(tmp_path / "in"), order, lambda _: None)
    assert summary.written == 4
    clean = [dcmread(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))]
    return sources, clean, crosswalks.folder


def _private_uids(datasets: list[Dataset]) -> set[str]:
    return {
        str(element.value)
        for ds in datasets
        for element in ds.iterall()
        if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008.")
    }


def test_every_stand_in_of_a_cohort_leads_back_to_its_original(tmp_path: Path) -> None:
    sources, clean, folder = _cohort(tmp_path)
    opened = unseal(folder, str(clean[0].StudyInstanceUID), KEY, now=NOW)
    assert {opened.uids[uid] for uid in _private_uids(clean)} == _private_uids(sources)


def test_two_keys_share_no_stand_in(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    _, one, _ = _cohort(tmp_path / "one")
    _, other, _ = _cohort(tmp_path / "other", OTHER_KEY)
    assert not _private_uids(one) & _private_uids(other)
    assert {ds.PatientID for ds in one}.isdisjoint({ds.PatientID for ds in other})


def _result(clean: Dataset) -> Dataset:
    """Return an object as somebody may make it on one slice of the clean cohort."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    ds.PatientName, ds.PatientID = clean.PatientName, clean.PatientID
    ds.PatientIdentityRemoved = "YES"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = clean.StudyInstanceUID, "1.2.3.4.5"
    ds.FrameOfReferenceUID = clean.FrameOfReferenceUID
    reference = Dataset()
    reference.ReferencedSOPClassUID = clean.SOPClassUID
    reference.ReferencedSOPInstanceUID = clean.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = clean.SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference]
    ds.ReferencedSeriesSequence = [series]
    ds.Rows = ds.Columns = 4
    ds.PixelData = bytes(range(16))
    ds["PixelData"].VR = "OB"
    return ds


def _opened(clean: Dataset, folder: Path) -> Crosswalk:
    return unseal(folder, str(clean.StudyInstanceUID), KEY, now=NOW)


def test_a_result_made_on_the_cohort_returns_under_the_original_uids(tmp_path: Path) -> None:
    sources, clean, folder = _cohort(tmp_path)
    originals = {_opened(ds, folder).uids[ds.SOPInstanceUID]: ds for ds in clean}
    source = sources[0]
    result = _result(originals[source.SOPInstanceUID])
    content = file_bytes(result)
    assert study_of(content) == clean[0].StudyInstanceUID
    back = dcmread(io.BytesIO(restore(content, _opened(clean[0], folder))))
    assert back.PatientName == source.PatientName
    assert back.PatientID == source.PatientID
    assert back.StudyInstanceUID == source.StudyInstanceUID
    assert back.FrameOfReferenceUID == source.FrameOfReferenceUID
    series = back.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (back.SOPInstanceUID, back.SeriesInstanceUID) == ("1.2.3.4.5.6", "1.2.3.4.5")
    assert back.PixelData == result.PixelData
    assert "PatientIdentityRemoved" not in back


def test_a_result_that_is_not_of_the_study_is_not_brought_back(tmp_path: Path) -> None:
    _, clean, folder = _cohort(tmp_path)
    opened = _opened(clean[0], folder)
    stranger, lost, plain = (_result(clean[0]) for _ in range(3))
    stranger.PatientID = "CE-OTHER"
    reference = lost.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    reference.ReferencedSOPInstanceUID = "2.25.4711"
    del plain.SpecificCharacterSet
    codes = {}
    for ds in (stranger, lost, plain):
        with pytest.raises(Refusal) as caught:
            restore(file_bytes(ds), opened)
        codes[caught.value.code] = str(caught.value)
    assert set(codes) == {"foreign-result", "unresolved-reference", "unencodable-name"}
    assert not [secret for secret in SECRETS for text in codes.values() if secret in text]
