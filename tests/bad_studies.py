"""Studies with something wrong, and the state and code in which their case is to end."""

from __future__ import annotations

import struct
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless
from sites import hippocampus_study

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

MIDDLE = 12


@dataclass(frozen=True, kw_only=True)
class BadStudy:
    """What is done to a good study, and what the line makes of it."""

    spoil: Callable[[list[Dataset]], None]
    state: CaseState
    code: str

    def datasets(self, number: int) -> list[Dataset]:
        """Return the instances, as study `number`."""
        datasets = hippocampus_study(number)
        self.spoil(datasets)
        return datasets


def _call_it_a_knee(datasets: list[Dataset]) -> None:
    for ds in datasets:
        ds.SeriesDescription = "Knee"


def _lose_a_slice(datasets: list[Dataset]) -> None:
    del datasets[MIDDLE]


def _flip_one(datasets: list[Dataset]) -> None:
    datasets[MIDDLE].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def _repeat_in_time(datasets: list[Dataset]) -> None:
    for ds in [deepcopy(ds) for ds in datasets]:
        ds.SOPInstanceUID += ".2"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.AcquisitionNumber, ds.InstanceNumber = 2, ds.InstanceNumber + len(datasets)
        ds.PixelData = bytes(reversed(ds.PixelData))
        datasets.append(ds)


def _cut_pixels(datasets: list[Dataset]) -> None:
    datasets[MIDDLE].PixelData = datasets[MIDDLE].PixelData[: len(datasets[MIDDLE].PixelData) // 2]


def _drop_pixels(datasets: list[Dataset]) -> None:
    del datasets[MIDDLE].PixelData


def _scramble(syntax: str) -> Callable[[list[Dataset]], None]:
    def scramble(datasets: list[Dataset]) -> None:
        _replace_pixels(datasets[MIDDLE], syntax, b"\x00\xff these are no pixels " * 8)

    return scramble


def _starve_rle(datasets: list[Dataset]) -> None:
    """Keep the header of RLE (PS3.5 G.5), of two segments, and runs for a few pixels only."""
    header = struct.pack("<16I", 2, 64, 68, *[0] * 13)
    _replace_pixels(datasets[MIDDLE], RLELossless, header + b"\xfd\x00\xfd\x01" * 2)


def _replace_pixels(ds: Dataset, syntax: str, frame: bytes) -> None:
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].is_undefined_length = True


BAD = {
    "no series matches": BadStudy(
        spoil=_call_it_a_knee, state=CaseState.REFUSED, code="no-pipeline"
    ),
    "a missing slice": BadStudy(
        spoil=_lose_a_slice, state=CaseState.REFUSED, code="missing-slices"
    ),
    "an orientation that flips": BadStudy(
        spoil=_flip_one, state=CaseState.REFUSED, code="flipped-orientation"
    ),
    "a 4-D series": BadStudy(
        spoil=_repeat_in_time, state=CaseState.REFUSED, code="several-volumes"
    ),
    "truncated pixel data": BadStudy(
        spoil=_cut_pixels, state=CaseState.QUARANTINED, code="truncated-instance"
    ),
    "a slice without pixels": BadStudy(
        spoil=_drop_pixels, state=CaseState.QUARANTINED, code="truncated-instance"
    ),
    "RLE that ends early": BadStudy(
        spoil=_starve_rle, state=CaseState.QUARANTINED, code="undecodable-pixels"
    ),
    "JPEG 2000 that is none": BadStudy(
        spoil=_scramble(JPEG2000Lossless), state=CaseState.REFUSED, code="unsafe-pixels"
    ),
    "RLE that is none": BadStudy(
        spoil=_scramble(RLELossless), state=CaseState.REFUSED, code="unsafe-pixels"
    ),
}
