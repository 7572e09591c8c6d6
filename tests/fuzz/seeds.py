"""Small files of every form that the reader knows, made in code: what the fuzzer starts from.

`python tests/fuzz/seeds.py` writes them to ``corpus/``; what the fuzzer added lies beside them.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pydicom
from factories import canary_stack, make_datasets, ramp
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

CORPUS = Path(__file__).resolve().parent / "corpus"


def _base() -> Dataset:
    return make_datasets(canary_stack(), ramp((1, 4, 6)))[0]


def _nested(depth: int) -> Dataset:
    ds, inner = _base(), Dataset()
    inner.PatientName = "Kanariefugl^Zzyzx"
    for _ in range(depth):
        outer = Dataset()
        outer.add_new(0x00081115, "SQ", Sequence([inner]))
        inner = outer
    ds.update(inner)
    return ds


def _undefined() -> Dataset:
    ds = _nested(3)
    element = ds[0x00081115]
    element.is_undefined_length = True
    element.value[0].is_undefined_length_sequence_item = True
    return ds


def _private() -> Dataset:
    ds = _base()
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", b"SV10\4\3\2\1" + b"Kanariefugl\0" * 4)
    block.add_new(0x08, "SQ", Sequence([_nested(1)]))
    return ds


def _scripts() -> Dataset:
    ds = _base()
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87", "ISO 2022 IR 149"]
    ds.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return ds


def _report() -> Dataset:
    ds = _base()
    del ds.PixelData
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    for kind, keyword, value in (
        ("TEXT", "TextValue", "seen by Kanariefugl"),
        ("PNAME", "PersonName", "Kanariefugl^Zzyzx"),
        ("DATE", "Date", "19330917"),
    ):
        content = Dataset()
        content.RelationshipType, content.ValueType = "CONTAINS", kind
        name = Dataset()
        name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121071", "DCM", "Finding"
        content.ConceptNameCodeSequence = [name]
        setattr(content, keyword, value)
        ds.ContentSequence = [*ds.get("ContentSequence", []), content]
    return ds


def _overlay() -> Dataset:
    ds = _base()
    ds.add_new(0x60000010, "US", 4)
    ds.add_new(0x60000011, "US", 6)
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60003000, "OB", b"\xff\0\xff\0")
    ds.add_new(0x60001500, "LO", "Kanariefugl")
    return ds


def _compressed() -> Dataset:
    ds = _base()
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.PixelData = encapsulate([b"\1\0\0\0\x40" + bytes(59) + b"\xfe\0Kanarie"])
    ds["PixelData"].is_undefined_length = True
    return ds


def _big() -> Dataset:
    ds = _nested(1)
    ds.PixelData = ramp((1, 4, 6)).astype(">i2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _bytes(ds: Dataset, syntax: str | None = None) -> bytes:
    if syntax:
        ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Return the seeds by name."""
    plain = _bytes(_base(), ExplicitVRLittleEndian)
    implicit = _bytes(_private(), ImplicitVRLittleEndian)
    return {
        "explicit": plain,
        "implicit": implicit,
        "implicit-bare": implicit[implicit.index(b"\x08\0\x05\0") :],
        "explicit-bare": plain[plain.index(b"\x08\0\x05\0CS") :],
        "big-endian": _bytes(_big(), ExplicitVRBigEndian),
        "deflated": _bytes(_nested(2), DeflatedExplicitVRLittleEndian),
        "rle": _bytes(_compressed()),
        "undefined-lengths": _bytes(_undefined()),
        "deep": _bytes(_nested(60)),
        "too-deep": _bytes(_nested(70)),
        "private": _bytes(_private()),
        "scripts": _bytes(_scripts()),
        "report": _bytes(_report()),
        "overlay": _bytes(_overlay()),
        "trailing": plain + b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd" + bytes(9),
        "cut-off": plain[:-7],
        "preamble-alone": bytes(128) + b"DICM",
        "nothing": b"",
    }


def main() -> None:
    """Write the seeds."""
    CORPUS.mkdir(exist_ok=True)
    for name, content in seeds().items():
        (CORPUS / name).write_bytes(content)


if __name__ == "__main__":
    main()
