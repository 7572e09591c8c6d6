"""What is written lies in memory once, and is what a reader finds in the bytes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import canary_stack, file_bytes, make_datasets, ramp
from multiframe import enhanced
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from clic_edge.deid import BASIC, DeidKey, part10
from clic_edge.deid.clean import StandIns
from clic_edge.deid.deidentify import clean_instance
from clic_edge.deid.file import holds
from clic_edge.deid.output import PIECE, Output, laid_out
from clic_edge.deid.residue import ResidueCheck
from clic_edge.errors import ClicEdgeError, Defect

if TYPE_CHECKING:
    from pathlib import Path

KEY = DeidKey(b"one key of thirty-two bytes, yes")
EXPLICIT = "1.2.840.10008.1.2.1"
SOP = ("1.2.840.10008.5.1.4.1.1.4", "1.2.3")


def cleaned(content: bytes) -> Output:
    stand_ins = StandIns(KEY.pseudonym("1", ""))
    source = part10.read(content)
    return clean_instance(source, BASIC, stand_ins=stand_ins, residue=ResidueCheck())


def one_slice(syntax: str = EXPLICIT) -> bytes:
    (ds,) = make_datasets(canary_stack(), ramp((1, 16, 18)))
    if syntax == RLELossless:
        ds.compress(syntax, encoding_plugin="pydicom")
    ds.file_meta.TransferSyntaxUID = syntax
    return file_bytes(ds)


@pytest.mark.parametrize(
    "syntax", [EXPLICIT, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_what_is_checked_is_what_a_reader_finds_in_the_bytes(syntax: str) -> None:
    output = cleaned(one_slice(syntax))
    assert part10.read(output.joined()) == output.parsed
    assert b"".join(output.parts()) == output.joined()


def test_what_is_checked_is_what_a_reader_finds_in_real_files(test_data: Path) -> None:
    checked = 0
    for path in sorted((test_data / "dicom").rglob("*.dcm"))[::9]:
        try:
            output = cleaned(path.read_bytes())
        except ClicEdgeError:
            continue
        assert part10.read(output.joined()) == output.parsed
        checked += 1
    assert checked > 30


def test_pixels_that_stay_are_no_copy() -> None:
    content = one_slice()
    _, value, *_ = cleaned(content).pieces
    assert isinstance(value, memoryview)
    assert value.obj is content


@pytest.mark.parametrize("odd", [b"\0", b"\0\1\2"])
def test_pixels_of_odd_length_are_padded_and_read_so(odd: bytes) -> None:
    writer = part10.Writer(part10.Encoding(explicit=True, little=True))
    bulk = writer.bulk(part10.Element(0x7FE00010, "OB", odd))
    output = laid_out(SOP, EXPLICIT, [writer.element(0x00100020, "LO", b"1")], bulk=bulk)
    assert part10.read(output.joined()) == output.parsed


def test_pixels_of_another_length_than_their_header_says_are_not_written() -> None:
    writer = part10.Writer(part10.Encoding(explicit=True, little=True))
    header, value, padding = writer.bulk(part10.Element(0x7FE00010, "OB", bytes(8)))
    dataset = [writer.element(0x00100020, "LO", b"1")]
    for bulk in ([header, value[:-2], padding], [header + b"\0\0", value, padding]):
        with pytest.raises(Defect) as caught:
            laid_out(SOP, EXPLICIT, dataset, bulk=bulk)
        assert caught.value.code == "unwritable-element"


def test_a_file_holds_an_output_byte_for_byte_and_no_more(tmp_path: Path) -> None:
    content = np.random.default_rng(5).bytes(2 * PIECE + 7)
    parsed = part10.read(one_slice())
    output = Output(pieces=(content[:99], memoryview(content)[99:]), parsed=parsed)
    path = tmp_path / "one"
    for written, is_same in (
        (content, True),
        (content[:-1], False),
        (content + b"\0", False),
        (content[: PIECE + 98] + b"\0\0" + content[PIECE + 100 :], False),
    ):
        path.write_bytes(written)
        assert holds(path, output) == is_same


MEASURE = """\
import sys
from pathlib import Path
from clic_edge.deid import BASIC, DeidKey
from clic_edge.deid.batch import Order, clean_all, sources_below
from clic_edge.deid.file import Bench
def peak():
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one)
    return int(line.split()[1]) // 1024
source, out = map(Path, sys.argv[1:])
before = peak()
order = Order(bench=Bench(profile=BASIC, key=DeidKey(bytes(32)), out=out))
assert clean_all(sources_below(source), order, lambda _: None).written == 1
print(peak() - before - (source.stat().st_size >> 20))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak of memory")
def test_a_large_object_lies_in_memory_once(tmp_path: Path) -> None:
    stack = canary_stack()
    source = tmp_path / "large.dcm"
    source.write_bytes(file_bytes(enhanced(make_datasets(stack, np.zeros((192, 512, 512), "<i2")))))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(source), str(tmp_path / "out")],
        check=True,
        capture_output=True,
    )
    assert int(done.stdout) < 64  # megabytes above the object, which has 100
