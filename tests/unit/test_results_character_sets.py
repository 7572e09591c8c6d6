"""Names in any character set arrive in every object that is written, as DCMTK reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_datasets, ramp, series_of
from written import with_everything, write_all, write_told, writers

from clic_edge.domain.study import Instance
from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.sr import SrWriter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.results.writer import Analysis


class Text(NamedTuple):
    """A person's name and a description, as bytes of the source and as they must be read."""

    charset: str
    """Specific Character Set (0008,0005)."""
    name: bytes
    """PN: groups and components, each with its own escapes."""
    description: bytes
    """LO."""
    decoded_name: str
    decoded_description: str
    codecs: tuple[str, ...]
    """By which Python decodes each group of the name, without the escapes that it doesn't know."""


def plain(charset: str, codec: str, name: str, description: str) -> Text:
    """Return text in one character set without escapes."""
    return Text(
        charset, name.encode(codec), description.encode(codec), name, description, (codec,) * 3
    )


JAPANESE = "\\ISO 2022 IR 87"
KANJI_NAME = (
    b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"  # PS3.5 H.3.1
)
TEXTS = {
    "ascii": plain("", "ascii", "Hansen^Ib", "Brain"),
    "latin-1": plain("ISO_IR 100", "latin_1", "Sørensen^Åse^Ærlig", "Hjerne, øjne og æg"),
    "latin-1 with escapes": plain(
        "ISO 2022 IR 100", "latin_1", "Sørensen^Åse^Ærlig", "Hjerne, øjne og æg"
    ),
    "utf-8": plain("ISO_IR 192", "utf_8", "Sørensen^Åse=山田^太郎=やまだ^たろう", "Øjne 脳"),
    "latin-2": plain("ISO_IR 101", "iso8859_2", "Wałęsa^Łukasz", "Głowa"),
    "latin-4": plain("ISO_IR 110", "iso8859_4", "Bērziņš^Jānis", "Smadzeņu"),
    "turkish": plain("ISO_IR 148", "iso8859_9", "Çağlar^Işıl", "Baş ağrısı"),
    "cyrillic": plain("ISO_IR 144", "iso8859_5", "Люксембург^Роза", "Головной мозг"),
    "greek": plain("ISO_IR 126", "iso8859_7", "Διονυσιος^Νίκος", "Εγκέφαλος"),
    "hebrew": plain("ISO_IR 138", "iso8859_8", "שרון^דבורה", "מוח"),
    "arabic": plain("ISO_IR 127", "iso8859_6", "قباني^لنزار", "دماغ"),
    "thai": plain("ISO_IR 166", "tis_620", "สมชาย^ใจดี", "สมอง"),
    "gb18030": plain("GB18030", "gb18030", "Wang^XiaoDong=王^小东=", "大脑 𠮷"),
    "gbk": plain("GBK", "gbk", "Wang^XiaoDong=王^小东=", "大脑"),
    "half-width katakana": plain("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ﾉｳ"),
    "latin-3": plain("ISO_IR 109", "iso8859_3", "Ħaż^Ġorġ", "Moħħ"),
    "gb18030 of four bytes": plain("GB18030", "gb18030", "Wang=𠮷^ĸ=", "𠮷"),
    "supplementary kanji": Text(
        "\\ISO 2022 IR 159\\ISO 2022 IR 87",
        b"Sakaki=\x1b$(D"
        + "丂".encode("euc_jp")[1:].translate(bytes(range(128)) * 2)
        + b"\x1b(B^\x1b$BB@O:\x1b(B=",
        b"MR",
        "Sakaki=丂^太郎=",
        "MR",
        ("iso2022_jp_2",) * 3,
    ),
    "korean": Text(
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        b"\x1b$)C\xb3\xfa MR",
        "Hong^Gildong=洪^吉洞=홍^길동",
        "뇌 MR",
        ("euc_kr",) * 3,
    ),
    "simplified chinese": Text(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        b"\x1b$)A\xb4\xf3\xc4\xd4 MR",
        "Zhang^XiaoDong=张^小东=",
        "大脑 MR",
        ("gb2312",) * 3,
    ),
    "japanese": Text(
        JAPANESE,
        b"Yamada^Tarou=" + KANJI_NAME,
        b"\x1b$BF,It\x1b(B MR",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "頭部 MR",
        ("iso2022_jp",) * 3,
    ),
    "japanese with half-width katakana": Text(
        "ISO 2022 IR 13" + JAPANESE,
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + KANJI_NAME,  # PS3.5 H.3.2
        b"\xc9\xb3 \x1b$BF,It\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        "ﾉｳ 頭部",
        ("shift_jis", "iso2022_jp", "iso2022_jp"),
    ),
    "latin-1, then cyrillic": Text(
        "ISO 2022 IR 100\\ISO 2022 IR 144",
        b"\x1b-AS\xf8rensen^\x1b-L\xc0\xde\xd7\xd0",
        b"H\xf8jre \x1b-L\xb3\xde\xdb\xde\xd2\xd0",
        "Sørensen^Роза",
        "Højre Голова",
        (),
    ),
}
DESIGNATORS = re.compile(rb"\x1b\$\)[AC]")
"""Escapes that only say what the high half means (PS3.5 6.1.2.5)."""

TAGS = {"0010,0010": "PN", "0008,0090": "PN", "0008,1030": "LO"}
"""Patient's and referring physician's name, and Study Description."""


VALUE = re.compile(rb"^\((\w{4},\w{4})\) .. \[(.*)\]", re.MULTILINE)


def analysis_in(text: Text) -> Analysis:
    """Return an analysis of images whose text is these very bytes."""
    charset = text.charset.split("\\") if text.charset else None
    return analysis_of(images(charset, text.name, text.description))


def images(charset: str | list[str] | None, name: bytes, description: bytes = b"") -> Series:
    """Return images with bytes that pydicom has neither encoded nor looked at."""
    stand_ins = {
        "PatientName": name,
        "ReferringPhysicianName": name,
        "StudyDescription": description,
    }
    datasets = make_datasets(Stack(), ramp())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are long
        for ds in datasets:
            ds.SpecificCharacterSet = charset
            for keyword, value in stand_ins.items():
                setattr(ds, keyword, keyword[0] * len(value))
        series = series_of(datasets)
    contents = [one.content for one in series.instances]
    for keyword, value in stand_ins.items():
        stand_in = keyword[0].encode() * len(value)
        contents = [one.replace(stand_in, value, 1) if value else one for one in contents]
    assert all(content.count(name) == 2 for content in contents)
    return replace(series, instances=tuple(Instance(content=one) for one in contents))


def dumped(content: bytes, folder: Path) -> dict[str, str]:
    """Return names and description as DCMTK decodes them; nothing where it can't."""
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump isn't installed")
    path = folder / "object.dcm"
    path.write_bytes(content)
    wanted = [option for tag in TAGS for option in ("+P", tag)]
    done = subprocess.run(
        ["dcmdump", "-q", "+U8", "+L", "-s", *wanted, str(path)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    found = {} if done.returncode else dict(VALUE.findall(done.stdout))
    return {tag.decode(): value.decode("utf-8") for tag, value in found.items()}


def written(analysis: Analysis) -> tuple[ResultObject, ...]:
    analysis = with_everything(analysis)
    results = write_all(analysis)
    check(results, analysis)
    return (*results, *write_told(analysis, results))


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_object_says_what_the_source_says(text: Text, tmp_path: Path) -> None:
    analysis = analysis_in(text)
    meant = {
        tag: text.decoded_name if vr == "PN" else text.decoded_description
        for tag, vr in TAGS.items()
    }
    assert dumped(analysis.series.instances[0].content, tmp_path) in (meant, {})
    results = written(analysis)
    assert len(results) > len(writers())
    for result in results:
        arrived = dumped(result.content, tmp_path)
        assert without_empty_groups(arrived) == without_empty_groups(meant)


def without_empty_groups(texts: dict[str, str]) -> dict[str, str]:
    """Return names without the empty groups at their end, which say nothing (PS3.5 6.2.1.2)."""
    return {tag: text.rstrip("=") for tag, text in texts.items()}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_expected_is_what_the_bytes_say_to_another_decoder(text: Text) -> None:
    if not text.codecs:
        return  # each half was written by hand from ISO 8859-1 and -5
    groups = DESIGNATORS.sub(b"", text.name).split(b"=")
    decoded = [one.decode(codec) for one, codec in zip(groups, text.codecs, strict=False)]
    assert "=".join(decoded) == text.decoded_name


@pytest.mark.slow
def test_dcmtk_reads_all_sources_but_those_that_its_iconv_does_not_know(tmp_path: Path) -> None:
    unread = {
        name
        for name, text in TEXTS.items()
        if not dumped(analysis_in(text).series.instances[0].content, tmp_path)
    }
    assert unread <= {
        "japanese",
        "japanese with half-width katakana",
        "supplementary kanji",
        "latin-1 with escapes",
    }


def of_volumes() -> list[EntryPoint]:
    """Return the writers of what is no slide; the others write nothing of it."""
    return [point for point in writers() if point.name != "ann"]


@pytest.mark.parametrize("charset", ["ISO_IR 192", "GB18030", "ISO_IR 203", "ISO_IR 999"])
def test_no_object_is_written_under_a_name_that_cannot_be_read(charset: str) -> None:
    analysis = with_everything(analysis_of(images(charset, b"S\xf8rensen^\xc5se\xff")))
    for point in of_volumes():
        with pytest.raises(Defect, match="undecodable-text"):
            point.load()().write(analysis, ())


def test_an_escape_that_nothing_explains_is_not_written() -> None:
    analysis = with_everything(analysis_of(images("ISO_IR 100", b"S\xf8rensen^\x1b%/1Ib")))
    for point in of_volumes():
        with pytest.raises(Defect, match="undecodable-text"):
            point.load()().write(analysis, ())


@pytest.mark.slow
def test_the_name_of_every_real_file_arrives(test_data: Path, tmp_path: Path) -> None:
    for path in sorted((test_data / "dicom/charset").glob("chr*.dcm")):
        original = pydicom.dcmread(path)
        name = original.get_item("PatientName")
        if name is None or not name.value:
            continue
        charset = original.get("SpecificCharacterSet")
        meant = without_empty_groups(dumped(path.read_bytes(), tmp_path)).get("0010,0010")
        analysis = analysis_of(images(charset, name.value))
        for result in SrWriter().write(analysis, ()):
            arrived = without_empty_groups(dumped(result.content, tmp_path))["0010,0010"]
            assert arrived
            assert meant in (arrived, None)
