"""Where else bytes come in: headers, codestreams, frames, rules, label files, photographs, packages.

Each takes any bytes and returns, or raises when something else came out than values or an error by
name, when a sentence quotes the bytes, or when more came out than went in.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
import warnings
from functools import cache
from pathlib import Path

import hostile_files as made
import numpy as np
from pydicom.datadict import tag_for_keyword

from clic_edge.config.pipeline import Pipeline
from clic_edge.config.toml import read_toml
from clic_edge.deid.codestream import blanked
from clic_edge.dicom.codestreams import stated_size
from clic_edge.dicom.excerpt import LARGEST_HEADER, excerpt
from clic_edge.dicom.images import read_shot
from clic_edge.dicom.jpeg import clean_codestream
from clic_edge.dicom.photographs import read_photograph
from clic_edge.domain.study import SeriesSummary
from clic_edge.domain.volume import Geometry
from clic_edge.errors import ClicEdgeError
from clic_edge.inference.archive import opened
from clic_edge.inference.label_files import read_labels
from clic_edge.inference.package import load_package
from clic_edge.pacs.headers import read_header, read_identity
from clic_edge.pacs.summaries import SUMMARY, summary_of
from clic_edge.pipeline.routing import evaluate

SYNTAXES = (made.RLE, made.JPEG, made.JPEG_LS, made.JPEG_2000)
SIDE = 16
"""Rows and columns of the frames: a codestream that claims more must not reach a decoder."""
TAGS = frozenset(filter(None, map(tag_for_keyword, SUMMARY)))
GEOMETRY = Geometry(affine=np.eye(4), shape=(2, 4, 4))


def header(content: bytes) -> None:
    """Read a header as the archive does: attributes that were there, or none."""
    with contextlib.suppress(ClicEdgeError):
        found, _ = excerpt(content, TAGS)
        if len(found) > len(content) + 12 * len(TAGS) and b"1.2.1.99" not in content:
            raise AssertionError("more came out than went in")
        if len(found) > LARGEST_HEADER:
            raise AssertionError("more came out than a header is")
    read_identity(content)
    attributes = read_header(content, SUMMARY)
    if attributes is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            summary_of("series", ("instance",), header=attributes)


def codestream(content: bytes) -> None:
    """Follow compressed pixels without decoding them."""
    size = stated_size(content)
    if size and any(one < 0 for one in size[2:]):
        raise AssertionError("less than no samples")
    clean_codestream(content)
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (b"", content))
    with contextlib.suppress(ClicEdgeError):
        if len(blanked(memoryview(items + made.SEQUENCE_END))) != len(items) + 8:
            raise AssertionError("blanking moved what stands behind")


def frame(content: bytes) -> None:
    """Decode one frame whose header says 16 by 16; the first byte chooses the syntax."""
    if not content:
        return
    elements = made.image(1) | {tag: made.short(tag, SIDE) for tag in (0x00280010, 0x00280011)}
    elements[0x7FE00010] = made.fragments(content[1:])
    file = made.part10(elements, SYNTAXES[content[0] % len(SYNTAXES)])
    with contextlib.suppress(ClicEdgeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if read_shot(file, "the image").pixels.shape != (SIDE, SIDE):
            raise AssertionError("an image of another size than its header's")


def rule(content: bytes) -> None:
    """Read a pipeline's file, and ask its rule about two series."""
    path = _scratch() / "pipeline.toml"
    path.write_bytes(content)
    try:
        pipeline = read_toml(Pipeline, path)
    except ClicEdgeError:
        return
    for series in (_series(""), _series("Hippocampus L")):
        evaluate(pipeline.rule, series)


def labels(content: bytes) -> None:
    """Read what an application left: NIfTI or DICOM by the first byte."""
    folder = _scratch() / "labels"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    name = ("seg.nii", "seg.nii.gz", "seg.dcm")[content[0] % 3] if content else "seg.nii"
    (folder / name).write_bytes(content[1:])
    with contextlib.suppress(ClicEdgeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if read_labels(folder, GEOMETRY, segments=2).shape != GEOMETRY.shape:
            raise AssertionError("labels on another grid")


def photograph(content: bytes) -> None:
    """Read a photograph."""
    path = _scratch() / "photograph"
    path.write_bytes(content)
    with contextlib.suppress(ClicEdgeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_photograph(path)


def package(content: bytes) -> None:
    """Open a model package's archive, and load what it holds."""
    path = _scratch() / "model.clic"
    path.write_bytes(content)
    with contextlib.suppress(ClicEdgeError), opened(path) as folder:
        load_package(folder)


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="clic-edge-fuzz-", dir="/dev/shm"))


def _series(text: str) -> SeriesSummary:
    return SeriesSummary(
        series_id="1",
        instance_ids=("1", "2"),
        series_number=1,
        modality=text[:2],
        body_part=text,
        description=text,
        image_type=("ORIGINAL", text),
        manufacturer=text,
        slice_thickness_mm=1.0 if text else None,
        called_ae_title=text,
        calling_ae_title=text,
    )


ENTRANCES = {
    one.__name__: one for one in (header, codestream, frame, rule, labels, photograph, package)
}
