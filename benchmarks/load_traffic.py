"""Studies to be sent: what they hold, when they come, and what should become of them."""

from __future__ import annotations

import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from factories import Patient, Stack, make_slice
from orthancs import NO_DELAY, program
from pydicom.uid import ComputedRadiographyImageStorage, UltrasoundImageStorage

from clic_edge.pipeline.capacity import study_handle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BY_HOUR = (2, 1, 1, 1, 1, 2, 4, 8, 12, 13, 12, 11, 9, 11, 12, 11, 9, 6, 5, 4, 4, 3, 3, 2)
"""Studies of a working day in a large hospital, by the hour in which they come; a plausible shape,
not one that was counted."""
_PLAIN = {"CR": ComputedRadiographyImageStorage, "US": UltrasoundImageStorage}


class Fate(StrEnum):
    """How a study is sent."""

    ONCE = "sent once"
    AGAIN = "sent twice"
    LATE = "its second half comes after the first was taken in"
    GAP = "a slice in the middle never comes"


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study of one series."""

    number: int
    slices: int
    edge: int
    """Rows and columns."""
    modality: str = "MR"
    description: str = "Hippocampus"
    fate: Fate = Fate.ONCE
    at: float = 0.0
    """Seconds from the beginning."""

    @property
    def patient(self) -> Patient:
        """Its patient, and no other study's."""
        root = f"1.2.826.0.1.3680043.10.1561.{700_000 + self.number}"
        return Patient(
            patient_id=f"LOAD{self.number:06}",
            accession_number=f"L{self.number:06}",
            study_instance_uid=f"{root}.1",
            uid_root=f"{root}.2",
        )

    @property
    def handle(self) -> str:
        """What Orthanc calls it."""
        return study_handle(self.patient.patient_id, self.patient.study_instance_uid)

    @property
    def is_ours(self) -> bool:
        """Whether the pipeline takes it."""
        return self.modality == "MR" and self.description == "Hippocampus"

    @property
    def expected(self) -> str:
        """The state that its one standing case should end in."""
        return "delivered" if self.is_ours and self.fate is not Fate.GAP else "refused"

    def write(self, folder: Path) -> None:
        """Write its files, in a folder of its own for each association that brings them."""
        stack = Stack(patient=self.patient, modality=self.modality, description=self.description)
        left = [n for n in range(self.slices) if self.fate is not Fate.GAP or n != self.slices // 2]
        half = len(left) // 2 if self.fate is Fate.LATE else len(left)
        for part, numbers in enumerate((left[:half], left[half:])):
            for number in numbers:
                ds = make_slice(stack, _pixels(self, number), number)
                if self.modality in _PLAIN:
                    ds.SOPClassUID = _PLAIN[self.modality]
                    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
                path = folder / f"{self.number}" / f"{part}" / f"{number:05}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                ds.save_as(path, enforce_file_format=True)


def _pixels(study: Study, number: int) -> NDArray[np.int16]:
    """Return a bright box in noise: the light model finds it, and nothing compresses to nothing."""
    edge = study.edge
    pixels = np.random.default_rng(number).integers(0, 40, (edge, edge)).astype(np.int16)
    if study.slices // 4 <= number < 3 * study.slices // 4:
        pixels[edge // 4 : edge // 2, edge // 4 : edge // 2] += 100
    return pixels


def large(count: int, slices: int, edge: int) -> list[Study]:
    """Return studies that the pipeline takes, all there from the beginning."""
    return [Study(number=n, slices=slices, edge=edge) for n in range(count)]


def day(count: int, seconds: float, edge: int, slices: int) -> list[Study]:
    """Return a day of `count` studies in `seconds`, the same at each run."""
    chance = random.Random(24)  # noqa: S311 - traffic, the same at each run
    kinds = (
        ("MR", "Hippocampus", (slices // 4, slices // 2)),
        ("MR", "T2 spine", (slices // 6, slices // 3)),
        ("CT", "Thorax", (slices // 2, slices)),
        ("CR", "Chest", (1, 2)),
        ("US", "Abdomen", (3, 12)),
    )
    found = []
    for number in range(count):
        hour = chance.choices(range(24), BY_HOUR)[0]
        modality, description, (least, most) = chance.choices(kinds, (20, 15, 20, 35, 10))[0]
        is_ours = description == "Hippocampus"
        fates = (84, 8, 4, 4) if is_ours else (92, 8, 0, 0)
        found.append(
            Study(
                number=100_000 + number,
                slices=chance.randint(max(least, 12 if is_ours else 1), max(most, 12)),
                edge=edge,
                modality=modality,
                description=description,
                fate=chance.choices(list(Fate), fates)[0],
                at=seconds * (hour + chance.random()) / 24,
            )
        )
    return sorted(found, key=lambda one: one.at)


@dataclass(kw_only=True)
class Sent:
    """What the senders saw."""

    begun: float = 0.0
    seconds: float = 0.0
    """From the first association to the end of the last."""
    busy: float = 0.0
    """Seconds of all associations together."""
    images: int = 0
    size: int = 0
    failed: list[int] = field(default_factory=list)
    """Studies of which an association ended other than with success."""
    done: dict[str, float] = field(default_factory=dict)
    """When the last image of a study was taken, by Orthanc's handle, seconds since 1970."""


def send(studies: Sequence[Study], files: Path, port: int, *, senders: int, pause: float) -> Sent:
    """Send each study when it is due, by DCMTK's storescu, from `senders` at once.

    `pause` lies between the halves of a study that comes in two.
    """
    sent = Sent(begun=time.time())
    with ThreadPoolExecutor(senders) as pool:
        for one in studies:
            time.sleep(max(0.0, sent.begun + one.at - time.time()))
            pool.submit(_send, one, files / f"{one.number}", port, sent, pause)
    sent.seconds = time.time() - sent.begun
    return sent


def _send(study: Study, folder: Path, port: int, sent: Sent, pause: float) -> None:
    parts = sorted(folder.iterdir())
    for turn, part in enumerate(parts * 2 if study.fate is Fate.AGAIN else parts):
        if turn and study.fate is Fate.LATE:
            time.sleep(pause)
        command = [program("storescu"), "-R", "+sd", "-aet", "MODALITY", "-aec", "CLICEDGE"]
        began = time.perf_counter()
        ended = subprocess.run(
            [*command, "127.0.0.1", str(port), str(part)],
            check=False,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin"} | NO_DELAY,
        )
        if ended.returncode:
            sent.failed.append(study.number)
        files = list(part.iterdir())
        sent.busy += time.perf_counter() - began
        sent.images += len(files)
        sent.size += sum(file.stat().st_size for file in files)
    sent.done[study.handle] = time.time()


def write_all(studies: Iterable[Study], folder: Path) -> None:
    """Write the files of all studies."""
    for one in studies:
        one.write(folder)
