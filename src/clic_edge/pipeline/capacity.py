"""Whether there is room for images: not while a disk is nearly full, nor a queue, where the site says so.

It is asked for every image, so that it never asks a database: `Capacity.look` does, now and then.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge.domain.pressure import Pressure, QueueLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from clic_edge.config.intake import Intake
    from clic_edge.ledger import Ledger

RESERVE_MEGABYTES = 1024
_AGAIN_ABOVE = 1.05
"""Of the reserve: a disk that is filled and emptied around it does not turn senders away by turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """What stays free on the disks that Orthanc writes to."""

    folders: tuple[Path, ...]
    size: int
    """In bytes."""

    @classmethod
    def of(cls, configuration: Mapping[str, object]) -> Reserve:
        """Return the reserve that Orthanc's configuration asks for, a gigabyte otherwise."""
        ours = configuration.get("ClicEdge")
        asked = ours.get("ReserveMegabytes") if isinstance(ours, dict) else None
        named = (configuration.get(f"{one}Directory") for one in ("Storage", "Index"))
        return cls(
            folders=tuple(Path(one) for one in named if isinstance(one, str)),
            size=(asked if isinstance(asked, int) else RESERVE_MEGABYTES) << 20,
        )

    def is_touched(self, *, were: bool) -> bool:
        """Whether there is less than that, or nothing can be written.

        Where it `were` so, until there is a little more. A folder that can't be asked is Orthanc's
        to complain of.
        """
        size = self.size * (_AGAIN_ABOVE if were else 1)
        return any(self._is_short(folder, size) for folder in self.folders)

    def _is_short(self, folder: Path, size: float) -> bool:
        try:
            disk = os.statvfs(folder)
        except OSError:
            return False
        is_read_only = bool(disk.f_flag & os.ST_RDONLY)
        return is_read_only or disk.f_bavail * disk.f_frsize < size


class Capacity:
    """Says of each image whether it is let in, and to the ledger and Orthanc's log why not."""

    def __init__(self, reserve: Reserve, warn: Callable[[str], None]) -> None:
        self._reserve = reserve
        self._warn = warn
        self._has_no_room = False
        self._is_full = False
        self._turns_new_away = False

    def has_room(self) -> bool:
        """Whether anything is taken at all."""
        touched = self._reserve.is_touched(were=self._has_no_room)
        if touched != self._has_no_room:
            self._has_no_room = touched
            room = f"{self._reserve.size >> 20} MB"
            self._warn(
                f"a disk of Orthanc's is read-only or has less than {room} free; images are turned "
                "away (0xA700)"
                if touched
                else f"Orthanc's disks have {room} free again; images are taken"
            )
        return not touched

    @property
    def takes_new_studies(self) -> bool:
        """Whether images are taken of studies that have not begun to come."""
        return not self._turns_new_away

    def look(self, ledger: Ledger, intake: Intake, now: datetime) -> None:
        """Ask the ledger whether the queue is full, and tell it what weighs on the intake."""
        limits = QueueLimits(
            cases=intake.full_at_cases, wait=timedelta(hours=intake.full_after_hours)
        )
        is_full = limits.are_reached(ledger.pressure.backlog(), now, were=self._is_full)
        self._turn(is_full=is_full, refuses=intake.when_full == "refuse")
        weighs = {Pressure.DISK} if not self.has_room() else set()
        if is_full:
            weighs.add(Pressure.QUEUE if self._turns_new_away else Pressure.QUEUE_TAKEN)
        ledger.pressure.see(weighs, now)

    def let_in(self) -> None:
        """Take new studies: how full the queue is can't be told, and the worker will find them."""
        self._turn(is_full=False, refuses=False)

    def _turn(self, *, is_full: bool, refuses: bool) -> None:
        if is_full != self._is_full:
            self._is_full = is_full
            deed = "turned away (0xA700)" if refuses else "taken all the same"
            self._warn(
                f"the queue is full; images of new studies are {deed}"
                if is_full
                else "the queue is not full any more; images are taken"
            )
        self._turns_new_away = is_full and refuses


def study_handle(patient_id: str, study_instance_uid: str) -> str:
    """Return what Orthanc calls a study: a digest in five groups."""
    text = f"{patient_id.strip()}|{study_instance_uid.strip()}"
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))
