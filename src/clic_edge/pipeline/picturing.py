"""Pictures of a result for the appliance's own pages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results.key_pictures import (
    KeySlices,
    key_slices_of,
    outlines_picture,
    plain_picture,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PICTURED = (ResultKind.SEG, ResultKind.SEG_LABELMAP, ResultKind.SEG_FRACTIONAL)
"""Of what pictures are made: the first of these that a case has of a prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The slices that show a segmentation best."""

    originals: tuple[str, ...]
    """SOP Instance UIDs of the images that `plain` needs, in this order."""
    _key: KeySlices = field(repr=False)

    def plain(self, originals: Sequence[bytes]) -> bytes:
        """Return the slices as a PNG. Raises Defect ``picture-impossible``, or as reading does."""
        return plain_picture(self._key, originals)

    def outlines(self) -> bytes:
        """Return the outlines as a PNG of the same size, transparent but for them."""
        return outlines_picture(self._key)


def picture_of(segmentation: bytes, digest: str) -> Picture | None:
    """Return the picture of a segmentation as it was checked; None where nothing was found.

    Raises
    ------
    Defect
        ``result-changed``, ``picture-impossible``.

    """
    if hashlib.sha256(segmentation).hexdigest() != digest:
        raise Defect(
            "result-changed", "The segmentation in the archive is not the one that was checked."
        )
    key = key_slices_of(segmentation)
    if key is None:
        return None
    return Picture(originals=tuple(one.sop_instance_uid for one in key.slices), _key=key)
