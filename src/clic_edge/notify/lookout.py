"""The lookout: says what no event tells of, each once a day."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.errors import Transient

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from clic_edge.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """Looks at the queue and at the disk."""

    ledger: Ledger
    appliance: str
    folder: Path
    late_after: timedelta
    """Zero for never."""
    free_percent: float

    def look(self, now: datetime) -> None:
        """Write a notice for each thing that is not as it should be.

        Raises Transient ``state-folder-away``: how full its disk is can't be told.
        """
        open_cases = self.ledger.overview.open() if self.late_after else ()
        if open_cases:
            waited = now - min(one.oldest for one in open_cases)
            if waited > self.late_after:
                self.ledger.notices.put(
                    Notice(
                        kind=NoticeKind.CASES_LATE,
                        key=f"{now:%Y-%m-%d}",
                        at=now,
                        urgency=Urgency.WARNING,
                        detail=str(round(waited / timedelta(minutes=1))),
                        path="/",
                    )
                )
        try:
            disk = shutil.disk_usage(self.folder)
        except OSError as error:
            raise Transient(
                "state-folder-away",
                "The folder `appliance.state_dir` can't be read; is it mounted?",
            ) from error
        free = 100 * disk.free / max(disk.total, 1)
        if free < self.free_percent:
            self.ledger.notices.put(
                Notice(
                    kind=NoticeKind.DISK_LOW,
                    key=f"{self.appliance} {now:%Y-%m-%d}",
                    at=now,
                    urgency=Urgency.ERROR,
                    about=self.appliance,
                    detail=f"{free:.0f}",
                    path="/",
                )
            )
