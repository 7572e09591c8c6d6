"""Photographs that are no DICOM: JPEG and PNG, as they may become one."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from clic_edge.dicom.jpeg import clean_codestream
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

_TAKEN, _EXIF, _ORIENTATION, _MAKE, _MODEL = 0x9003, 0x8769, 0x0112, 0x010F, 0x0110
_JPEGS = {"JPEG", "MPO"}
_BYTE_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
"""Pillow's modes of eight bits and fewer that are grey or red, green and blue."""
_BROKEN = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError)
_PNG_DEPTH = 24
"""Where a PNG file says how many bits a sample has; Pillow takes some away without a word."""
BITS = 8
LARGEST_SIDE = 65535
"""Rows and Columns are 16-bit numbers (PS3.3 C.7.6.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """A picture, upright, and nothing that the camera wrote beside it but when and by what."""

    pixels: bytes = field(repr=False)
    """A JPEG codestream, or rows of 8-bit samples, colour by pixel."""
    rows: int
    columns: int
    samples: int
    """1: grey; 3: colour."""
    photometric: str
    """Photometric Interpretation (0028,0004)."""
    transfer_syntax: str
    lossy_ratio: float | None
    """How much smaller lossy compression once made it; None where none is known of."""
    taken_at: datetime | None
    """As the camera wrote it, in its own time zone."""
    make: str
    model: str
    digest: str
    """SHA-256 of the file, hexadecimal: which picture it is."""

    @property
    def is_encoded(self) -> bool:
        """Whether the pixels are a JPEG codestream as the camera made it."""
        return self.transfer_syntax == JPEGBaseline8Bit


def read_photograph(path: Path) -> Photograph:
    """Return the photograph in a JPEG or PNG file, turned as its orientation says.

    An upright baseline JPEG keeps its codestream, any other is decoded.

    Raises
    ------
    Refusal
        ``photograph-unreadable``: no JPEG or PNG, or cut off. ``photograph-depth``: more than
        eight bits a sample. ``photograph-colours``: CMYK, or partly transparent.
        ``photograph-animated``: more than one picture.

    """
    try:
        file = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file)) as opened:
                return _photograph(file, opened)
    except (*_BROKEN, Image.DecompressionBombWarning) as error:
        raise Refusal(
            "photograph-unreadable", f"{path} is no whole photograph in JPEG or PNG."
        ) from error


def _photograph(file: bytes, opened: Image.Image) -> Photograph:
    if opened.format not in {*_JPEGS, "PNG"}:
        raise UnidentifiedImageError
    _admit(opened, deep=opened.format == "PNG" and file[_PNG_DEPTH] > BITS)
    opened.load()  # raises where the file is cut off
    exif = opened.getexif()
    is_jpeg = opened.format in _JPEGS
    codestream = clean_codestream(file) if is_jpeg else None
    if is_jpeg and codestream is None:
        raise UnidentifiedImageError
    upright = _in_bytes(ImageOps.exif_transpose(opened))
    samples = len(upright.getbands())
    photometric = "MONOCHROME2" if samples == 1 else "RGB"
    raw = upright.tobytes()
    pixels, syntax = raw, ExplicitVRLittleEndian
    if codestream and codestream.baseline and exif.get(_ORIENTATION, 1) in {0, 1}:
        pixels, syntax = codestream.content, JPEGBaseline8Bit
        if samples > 1 and not codestream.is_rgb:
            photometric = "YBR_FULL_422"
    return Photograph(
        pixels=pixels,
        rows=upright.height,
        columns=upright.width,
        samples=samples,
        photometric=photometric,
        transfer_syntax=syntax,
        lossy_ratio=round(len(raw) / len(codestream.content), 2) if codestream else None,
        taken_at=_moment(str(exif.get_ifd(_EXIF).get(_TAKEN, ""))),
        make=_words(exif.get(_MAKE)),
        model=_words(exif.get(_MODEL)),
        digest=hashlib.sha256(file).hexdigest(),
    )


def _admit(opened: Image.Image, *, deep: bool) -> None:
    if deep or opened.mode.startswith(("I", "F")):
        raise Refusal("photograph-depth", "The photograph has more than eight bits a sample.")
    if opened.mode not in _BYTE_MODES:
        raise Refusal("photograph-colours", "The photograph is neither grey nor in RGB.")
    if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:
        raise Refusal("photograph-animated", "The file holds more than one picture.")
    if max(opened.size) > LARGEST_SIDE:
        raise Refusal("photograph-unreadable", f"No image is more than {LARGEST_SIDE} pixels wide.")


def _in_bytes(image: Image.Image) -> Image.Image:
    """Return the image as grey or RGB in bytes; what is transparent has no known colour."""
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif "transparency" in image.info:
        image = image.convert("LA" if image.mode in {"1", "L"} else "RGBA")
    if image.mode in {"LA", "RGBA"}:
        if np.asarray(image.getchannel("A")).min() < 255:  # noqa: PLR2004 - opaque
            raise Refusal("photograph-colours", "The photograph is partly transparent.")
        return image.convert("L" if image.mode == "LA" else "RGB")
    return image.convert("L") if image.mode == "1" else image


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - EXIF has no zone
    except ValueError:
        return None


def _words(value: object) -> str:
    """Return a maker's or a camera's name as Long String (PS3.5 6.2) takes it."""
    text = value if isinstance(value, str) else ""
    return "".join(one for one in text if one.isprintable() and one != "\\").strip()[:64]
