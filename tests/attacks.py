"""One attack after the other in a process with little memory; tells how each ended, as JSON.

Run by `unit/test_hostile_memory.py`: what takes more than `MORE` beyond what is loaded raises
MemoryError, and so ends under another name than the one expected.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import hostile_files as made

from clic_edge.config.pipeline import Pipeline
from clic_edge.config.toml import read_toml
from clic_edge.deid import BASIC, DeidKey, deidentify, part10
from clic_edge.deid.file import FileSource
from clic_edge.dicom.images import read_shot
from clic_edge.dicom.orders import read_worklist
from clic_edge.dicom.photographs import read_photograph
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError
from clic_edge.inference.package import load_package
from clic_edge.pacs.headers import read_header, read_identity
from clic_edge.pacs.summaries import SUMMARY

MORE = 400 << 20
"""Bytes beyond what is loaded: less than any of the attacks asks for."""
LARGE = dict.fromkeys((0x00280010, 0x00280011), 65535)
PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")


def bomb(gigabytes: int = 2) -> bytes:
    """Return a deflated file that becomes gigabytes of one private element."""
    size = gigabytes << 30
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = b"".join(made.image(1)[tag] for tag in (0x00080016, 0x00080018, 0x00080060))
    opening = deflate.compress(head + made.element(0x00091001, "OB", b"", length=size))
    opening += deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    body = opening + block * (gigabytes << 10) + deflate.flush()
    empty = made.part10({0x00080018: made.image(1)[0x00080018]}, made.DEFLATED)
    return empty[: empty.index(made.DEFLATED.encode()) + len(made.DEFLATED)] + body


def image(changes: dict[int, bytes], syntax: str = made.EXPLICIT) -> bytes:
    """Return an image with some of its elements put in place of others."""
    return made.part10(made.image(1) | changes, syntax)


def large(pixels: bytes, syntax: str) -> bytes:
    """Return an image of 65535 x 65535 with these fragments."""
    sizes = {tag: made.short(tag, number) for tag, number in LARGE.items()}
    return image(sizes | {0x7FE00010: made.fragments(pixels)}, syntax)


def clean(content: bytes) -> object:
    """De-identify one image as the line does."""
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )
    return deidentify(series, BASIC, PSEUDONYM)


def _png(side: int) -> bytes:
    head = b"IHDR" + struct.pack(">LLBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + head + struct.pack(">L", zlib.crc32(head))


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _pipe(folder: Path) -> Path:
    path = folder / "pipe"
    os.mkfifo(path)
    return path


def _package(folder: Path) -> Path:
    return _file(folder, "model.toml", b"a=" + b"[" * 50_000).parent


SMALL_J2K = b"\xff\x4f\xff\x51" + made.siz(4, 4, samples=16_384) + b"\xff\xd9"
LARGE_J2K = b"\xff\x4f\xff\x51" + made.siz(65535, 65535, samples=1) + b"\xff\xd9"
LARGE_JLS = b"\xff\xd8\xff\xf7\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0" + b"\xff\xd9"
RLE = struct.pack("<16L", 2, 64, 66, *[0] * 13) + b"\x81\0\x81\0"

ATTACKS = {
    "deflate, identity": lambda _: read_identity(bomb()),
    "deflate, header": lambda _: read_header(bomb(), SUMMARY),
    "deflate, stage": lambda _: part10.read(bomb()),
    "items, header": lambda _: read_header(image({0x00081115: made.many_items(400_000)}), SUMMARY),
    "items without lengths, header": lambda _: read_header(
        image({0x00081115: made.endless_items(400_000)}), SUMMARY
    ),
    "items, stage": lambda _: part10.read(image({0x00081115: made.endless_items(2_100_000)})),
    "recursion, header": lambda _: read_header(image({0x00081115: made.nested(100_000)}), SUMMARY),
    "recursion, stage": lambda _: part10.read(image({0x00081115: made.nested(100_000)})),
    "recursion, private": lambda _: clean(image({0x00091001: made.nested(5000, 0x00091001)})),
    "recursion, worklist": lambda folder: read_worklist(
        _file(folder, "order", image({0x00081115: made.nested(5000)}))
    ),
    "recursion, TOML": lambda folder: read_toml(
        Pipeline, _file(folder, "pipeline.toml", b"a=" + b"[" * 50_000)
    ),
    "recursion, package": lambda folder: load_package(_package(folder)),
    "a length that lies": lambda _: clean(
        image({0x00091001: made.element(0x00091001, "OB", b"ab", length=0xFFFFFFFE)})
    ),
    "a million values": lambda _: read_header(
        image({0x00080008: made.element(0x00080008, "UT", b"A\\" * 1_000_000)}), SUMMARY
    ),
    "rows and columns": lambda _: read_shot(
        image({tag: made.short(tag, number) for tag, number in LARGE.items()}), "it"
    ),
    "rows, columns and frames": lambda _: read_shot(
        image({0x00280008: made.element(0x00280008, "IS", "999999999999")}), "it"
    ),
    "JPEG 2000, large": lambda _: read_shot(large(LARGE_J2K, made.JPEG_2000), "it"),
    "JPEG 2000, components": lambda _: read_shot(
        image({0x7FE00010: made.fragments(SMALL_J2K)}, made.JPEG_2000), "it"
    ),
    "JPEG 2000, other size": lambda _: read_shot(
        image({0x7FE00010: made.fragments(LARGE_J2K)}, made.JPEG_2000), "it"
    ),
    "JPEG-LS, other size": lambda _: read_shot(
        image({0x7FE00010: made.fragments(LARGE_JLS)}, made.JPEG_LS), "it"
    ),
    "RLE, large": lambda _: read_shot(large(RLE, made.RLE), "it"),
    "photograph": lambda folder: read_photograph(_file(folder, "a.png", _png(60_000))),
    "a pipe": lambda folder: FileSource(_pipe(folder)).read(),
}
"""By name: what is tried, in a folder of its own."""


def main() -> None:
    """Try each, and write its code, what came back otherwise, or the error's name."""
    loaded = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + MORE, loaded + MORE))
    ends = {}
    for name, attack in ATTACKS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                ends[name] = "nothing" if attack(Path(folder)) is None else "values"
            except ClicEdgeError as error:
                ends[name] = error.code
            except Exception as error:  # noqa: BLE001 - this is what must not come
                ends[name] = type(error).__name__
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main()
