"""Pixels of one level, read by wsidicom from its compressed tiles when they are asked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid
from upath import UPath
from wsidicom import Settings, WsiDicom, use_settings
from wsidicom.errors import (
    WsiDicomError,
    WsiDicomFileError,
    WsiDicomNotFoundError,
    WsiDicomNotSupportedError,
    WsiDicomOutOfBoundsError,
    WsiDicomStrictRequirementError,
)
from wsidicom.file import WsiDicomFileSource
from wsidicom.file.io import WsiDicomReadIO
from wsidicom.options import DecoderOption

from clic_edge.dicom.reading import translated
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.dicom.slide_headers import SlideImage

_CACHE_BYTES = 8 * 2**20
"""Of decoded tiles: a row of tiles that the next reading touches again, and no more."""
_ERRORS = (
    WsiDicomError,
    WsiDicomFileError,
    WsiDicomNotFoundError,
    WsiDicomNotSupportedError,
    WsiDicomOutOfBoundsError,
    WsiDicomStrictRequirementError,
)
WHITE = 255


class WsidicomTiles:
    """`TileReader` of one instance; each level is opened by itself, so none is left out silently."""

    def __init__(self, image: SlideImage, content: bytes) -> None:
        """Take an image whose frames and places were checked.

        Raises Defect ``undecodable-pixels`` where wsidicom does not take it.
        """
        self._matrix, self._where = image.matrix, image.attributes.where
        native = image.syntax in uid.UncompressedTransferSyntaxes
        settings = Settings(
            preferred_decoder=None if native else DecoderOption.PILLOW,
            decoded_frame_cache_size=_CACHE_BYTES,
            encoded_frame_cache_size=0,
        )
        with translated("undecodable-pixels", f"{self._where}: its tiles can't be read"):
            try:
                with use_settings(settings):  # the source makes its caches by them
                    source = WsiDicomFileSource(
                        [WsiDicomReadIO(io.BytesIO(content), UPath("level"))]
                    )
                self._slide = WsiDicom(source, settings=settings)
            except _ERRORS as error:
                raise self._unreadable() from error

    def __call__(self, column: int, row: int, *, columns: int, rows: int) -> NDArray[np.uint8]:
        """Return pixels as `TileReader` says."""
        pixels = np.full((rows, columns, 3), WHITE, np.uint8)
        left, top = max(column, 0), max(row, 0)
        right = min(column + columns, self._matrix.columns)
        bottom = min(row + rows, self._matrix.rows)
        if left < right and top < bottom:
            part = self._region(left, top, size=(right - left, bottom - top))
            pixels[top - row : bottom - row, left - column : right - column] = part
        pixels.flags.writeable = False
        return pixels

    def _region(self, left: int, top: int, *, size: tuple[int, int]) -> NDArray[np.uint8]:
        with translated("undecodable-pixels", f"{self._where}: a tile can't be decoded"):
            try:
                region = self._slide.read_region((left, top), 0, size, as_array=True)
            except _ERRORS as error:
                raise self._unreadable() from error
        found: NDArray[np.uint8] = region[..., :3]
        return found

    def _unreadable(self) -> Defect:
        return Defect("undecodable-pixels", f"{self._where}: its tiles can't be read")
