from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of, retrained, series_in
from factories import CANARY, make_series
from factories import Stack as MadeStack

import clic_edge
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results import provenance
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis, Writer

WRITERS = {ResultKind.SEG: SegWriter(), ResultKind.SR: SrWriter()}

ANOTHER_CLOCK = """
import datetime, hashlib, sys
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2031, 7, 8, 9, 10, 11, tzinfo=tz)
datetime.datetime = Clock
sys.path.insert(0, sys.argv[1])
from analyses import analysis_of
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter
(seg,) = SegWriter().write(analysis_of(), ())
(sr,) = SrWriter().write(analysis_of(), (seg,))
assert datetime.datetime.now().year == 2031
print(*(hashlib.sha256(one.content).hexdigest() for one in (seg, sr)))
"""


@pytest.fixture(params=list(WRITERS))
def writer(request: pytest.FixtureRequest) -> Writer:
    return WRITERS[request.param]


def write(writer: Writer, analysis: Analysis) -> ResultObject:
    (result,) = writer.write(analysis, SegWriter().write(analysis, ()))
    return result


def opened(result: ResultObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content))


def uids_in(ds: Dataset) -> set[str]:
    return {
        str(element.value)
        for element in ds.iterall()
        if element.VR == "UI" and str(element.value).startswith("2.25.")
    }


def test_the_same_analysis_gives_the_same_bytes(writer: Writer) -> None:
    assert write(writer, analysis_of()) == write(writer, analysis_of())


@pytest.mark.slow
def test_another_process_at_another_time_gives_the_same_bytes(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_CLOCK, str(root / "tests")],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    here = [write(one, analysis_of()) for one in WRITERS.values()]
    assert done.stdout.decode().split() == [hashlib.sha256(one.content).hexdigest() for one in here]


@pytest.mark.slow
def test_another_case_model_or_series_gives_other_uids(writer: Writer) -> None:
    first = analysis_of()
    others = [
        replace(first, case_id="case-2"),
        retrained(first),
        analysis_of(make_series(MadeStack(series_number=2))),
    ]
    own = uids_in(opened(write(writer, first)))
    for other in others:
        shared = own & uids_in(opened(write(writer, other)))
        assert shared <= {provenance.device_uid(other.prediction.model)}


def test_a_retrained_model_is_another_device() -> None:
    first = analysis_of()
    other = retrained(first)
    assert provenance.device_uid(first.prediction.model) != provenance.device_uid(
        other.prediction.model
    )


def test_a_result_lies_in_the_study_that_it_analyses(writer: Writer) -> None:
    analysis = analysis_of(make_series(MadeStack(patient=CANARY)))
    original = pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content))
    ds = opened(write(writer, analysis))
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
    ):
        assert ds[keyword].value == original[keyword].value
    assert ds.SeriesInstanceUID != original.SeriesInstanceUID


def test_a_result_says_who_made_it_when_and_how(writer: Writer) -> None:
    analysis = analysis_of()
    result = write(writer, analysis)
    ds = opened(result)
    started = analysis.started_at.astimezone()
    assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.Manufacturer == provenance.MANUFACTURER
    assert ds.SoftwareVersions == clic_edge.__version__
    assert ds.SeriesDescription == f"AI {result.kind}: Organ volumetry"
    assert (ds.SOPClassUID, ds.SOPInstanceUID) == (result.sop_class_uid, result.sop_instance_uid)
    for what in ("Series", "Content", "InstanceCreation"):
        assert ds[f"{what}Date"].value == started.strftime("%Y%m%d")
        assert ds[f"{what}Time"].value == started.strftime("%H%M%S.%f")
    (equipment,) = ds.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.Manufacturer == "CLIC"
    assert equipment.ManufacturerModelName == "Organ volumetry"
    assert equipment.SoftwareVersions == "1.2.0"
    assert equipment.DeviceUID == provenance.device_uid(analysis.prediction.model)


def test_the_clock_of_the_original_is_kept_where_it_names_its_offset(
    test_data: Path, writer: Writer
) -> None:
    analysis = analysis_of(series_in(test_data / "dicom/mr-enhanced", "BRTUM009.dcm"))
    ds = opened(write(writer, analysis))
    assert ds.TimezoneOffsetFromUTC == "-0500"
    assert (ds.ContentDate, ds.ContentTime) == ("20260101", "220405.000000")


def test_no_patient_shows_in_the_repr_of_a_result(writer: Writer) -> None:
    analysis = analysis_of(make_series(MadeStack(patient=CANARY)))
    assert "CANARY" not in repr(write(writer, analysis))
    assert CANARY.study_instance_uid not in repr(write(writer, analysis))
