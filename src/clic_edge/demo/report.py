"""`build/demo/report.json`: what the demo found, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.demo.overlay import Measured
    from clic_edge.domain.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of the demo."""

    cases: tuple[Case, ...]
    stages: tuple[Mapping[str, float], ...]
    """Seconds by stage, for each case."""
    measured: tuple[Measured, ...]
    """What the SR in the PACS states, for each series."""
    objects: tuple[str, ...]
    """The files of the result objects, as the PACS gave them back."""

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=1, default=str)
