"""`build/demo/report.json`: what the demo found, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.domain.case import Case
    from clic_edge.ledger.predictions import PredictionRow

_SUFFIX = ".volume_mm3"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesVolumes:
    """The volumes that were measured in one series."""

    series_uid: str
    """The keyed Series Instance UID: the prediction log knows no other."""
    volumes: tuple[tuple[str, float], ...]
    """Segment and mm³."""

    @classmethod
    def of(cls, row: PredictionRow) -> SeriesVolumes:
        """Return the volumes of one prediction."""
        found = [feature for feature in row.features if feature.name.endswith(_SUFFIX)]
        named = tuple((f.name.split(".")[1], f.number) for f in found if f.number is not None)
        return cls(series_uid=row.series_uid, volumes=named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of the demo."""

    cases: tuple[Case, ...]
    stages: tuple[Mapping[str, float], ...]
    """Seconds by stage, for each case."""
    volumes: tuple[SeriesVolumes, ...]
    objects: tuple[str, ...]
    """The files of the result objects, as the PACS gave them back."""

    def to_json(self) -> str:
        """Return the report as JSON."""
        whole = asdict(self)
        return json.dumps(whole, indent=1, default=str)
