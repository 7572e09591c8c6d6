from __future__ import annotations

import io
import re
import shutil
import subprocess
import warnings
from typing import TYPE_CHECKING

import pydicom
import pytest
from analyses import analysis_of
from factories import Patient, Stack, make_datasets, ramp, series_of

from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.identity import identity_of
from clic_edge.results.seg import SegWriter
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject

NAMES = {
    "danish": ("ISO_IR 100", "Sørensen^Åse Æbeløe"),
    "german": ("ISO_IR 100", "Äneas^Rüdiger"),
    "russian": ("ISO_IR 144", "Люкceмбypг^Щёголь"),
    "greek": ("ISO_IR 126", "Διονυσιος"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东=龘^𠮷"),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小東="),
    "japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "japanese with kana": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
}
FILES = {
    "chrRuss.dcm": "Люкceмбypг",
    "chrX2.dcm": "Wang^XiaoDong=王^小东=",
    "chrX1.dcm": "Wang^XiaoDong=王^小東=",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrFren.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
}


def results_of(change: Callable[[Dataset], None]) -> tuple[ResultObject, ...]:
    datasets = make_datasets(Stack(), ramp())
    for ds in datasets:
        change(ds)
    analysis = analysis_of(series_of(datasets))
    segs = SegWriter().write(analysis, ())
    results = (*segs, *SrWriter().write(analysis, segs))
    check(results, analysis)
    return results


def dumped(result: ResultObject, tag: str, folder: Path) -> str:
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump isn't installed")
    path = folder / "result.dcm"
    path.write_bytes(result.content)
    done = subprocess.run(
        ["dcmdump", "+L", "+P", tag, str(path)], capture_output=True, check=True, timeout=60
    )
    found = re.search(r"\[(.*)\]", done.stdout.decode())
    return found.group(1) if found else ""


@pytest.mark.slow
@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES.keys())
def test_a_name_in_any_character_set_arrives(
    charset: str | list[str], name: str, tmp_path: Path
) -> None:
    def change(ds: Dataset) -> None:
        ds.SpecificCharacterSet, ds.PatientName = charset, name

    for result in results_of(change):
        assert dumped(result, "0010,0010", tmp_path).rstrip(" =") == name.rstrip(" =")
        assert dumped(result, "0008,0005", tmp_path) == "ISO_IR 192"


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), FILES.items())
def test_the_name_of_a_real_file_arrives(
    test_data: Path, file: str, name: str, tmp_path: Path
) -> None:
    original = pydicom.dcmread(test_data / "dicom" / "charset" / file)

    def change(ds: Dataset) -> None:
        ds.SpecificCharacterSet = original.SpecificCharacterSet
        ds.add(original.get_item("PatientName"))  # type: ignore[arg-type]  # raw, undecoded

    for result in results_of(change):
        assert dumped(result, "0010,0010", tmp_path).rstrip(" =") == name.rstrip(" =")


def test_text_beside_the_name_arrives_too(tmp_path: Path) -> None:
    def change(ds: Dataset) -> None:
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.StudyDescription, ds.ReferringPhysicianName = "Hjerne, øjne", "Læge^Bø"
        ds.ProcedureCodeSequence = [pydicom.Dataset()]
        item = ds.ProcedureCodeSequence[0]
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99KA", "MR hjørne"

    seg, sr = results_of(change)
    assert dumped(seg, "0008,1030", tmp_path) == "Hjerne, øjne"
    assert dumped(sr, "0008,0090", tmp_path) == "Læge^Bø"
    ds = pydicom.dcmread(io.BytesIO(sr.content))
    (procedure,) = [
        item.ConceptCodeSequence[0]
        for item in ds.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121058"
    ]
    assert (procedure.CodeValue, procedure.CodeMeaning) == ("1", "MR hjørne")


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 999"])
def test_a_name_that_its_character_set_does_not_explain_is_not_guessed(charset: str) -> None:
    (ds,) = make_datasets(Stack(patient=Patient(name="Sørensen^Åse")), ramp()[:1])
    ds.SpecificCharacterSet = "ISO_IR 100"
    content = series_of([ds]).instances[0].content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(io.BytesIO(content.replace(b"ISO_IR 100", charset.encode())))
    with pytest.raises(Defect, match="undecodable-text") as caught:
        identity_of(header)
    assert "rensen" not in str(caught.value)


def test_what_the_original_lacks_is_empty_and_what_is_invalid_is_left_out() -> None:
    def change(ds: Dataset) -> None:
        del ds.PatientBirthDate, ds.PatientSex, ds.StudyID
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.add_new("PatientAge", "AS", "about 40")
            ds.add_new("StudyDate", "DA", "2026.99.99")

    for result in results_of(change):
        ds = pydicom.dcmread(io.BytesIO(result.content))
        assert [ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.StudyDate] == [""] * 4
        assert "PatientAge" not in ds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected"), [(3, 391), (None, 91), (-5, 91), (2**30, 999999991)]
)
def test_the_series_number_follows_the_original(number: int | None, expected: int) -> None:
    def change(ds: Dataset) -> None:
        ds.SeriesNumber = number

    assert pydicom.dcmread(io.BytesIO(results_of(change)[0].content)).SeriesNumber == expected


def test_a_number_or_description_that_cannot_be_read_is_left_out() -> None:
    (ds,) = make_datasets(Stack(), ramp()[:1])
    ds.PatientWeight, ds.StudyDescription = "70.5", "Hjerne, oejne"
    content = series_of([ds]).instances[0].content
    broken = content.replace(b"70.5", b"7O.5").replace(b"oejne", b"\xf8jne ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        identity = identity_of(pydicom.dcmread(io.BytesIO(broken)))
    assert "PatientWeight" not in identity
    assert "StudyDescription" not in identity
    assert identity.PatientName == ds.PatientName


def test_a_wrong_representation_in_the_original_is_put_right() -> None:
    def change(ds: Dataset) -> None:
        ds.add_new("LongitudinalTemporalInformationModified", "SH", "MODIFIED")
        ds.add_new("StudyDescription", "UT", "Hjerne")

    for result in results_of(change):
        ds = pydicom.dcmread(io.BytesIO(result.content))
        assert ds["LongitudinalTemporalInformationModified"].VR == "CS"
        assert ds["StudyDescription"].VR == "LO"
