"""The outline that a reader drew or accepted, found again in the archive and laid on the volume."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import read_instance
from clic_edge.errors import Defect, Refusal
from clic_edge.pipeline.assessing import assessable
from clic_edge.pipeline.returned import SEGMENTATIONS, foreign_objects
from clic_edge.results.drawn import labels_of
from clic_edge.results.edited import compare, is_version_of
from clic_edge.results.provenance import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Geometry
    from clic_edge.ledger.predictions import PredictionSource
    from clic_edge.pipeline.line import Line
    from clic_edge.retraining.choosing import Lesson

_SAME_DICE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What readers stand for, as it lies in the archive."""

    ours: Dataset = field(repr=False)
    theirs: Dataset | None = field(repr=False)
    """The version that a reader drew; None where nobody did."""
    lesson: Lesson
    names: Mapping[str, str]
    """Of our segments, by Tracking UID."""

    def labels(self, geometry: Geometry, numbers: Mapping[str, int]) -> NDArray[np.uint8]:
        """Return labels (slices, rows, columns) on a volume's grid; `numbers` is by segment.

        Raises Defect as `labels_of`, and ``edited-gone`` where it draws other segments.
        """
        by_uid = {uid: numbers[name] for uid, name in self.names.items() if name in numbers}
        labels = np.zeros(geometry.shape, np.uint8)
        if self.theirs is not None:
            drawn, spoken_of = labels_of(self.theirs, self.ours, geometry, numbers=by_uid)
            if spoken_of != {numbers[name] for name in self.lesson.drawn}:
                raise _gone()
            labels |= drawn
        if self.lesson.accepted:
            own, _ = labels_of(self.ours, self.ours, geometry, numbers=by_uid)
            for name in self.lesson.accepted:
                mask = own == numbers[name]
                if labels[mask].any():
                    raise Defect("edited-overlapping", "Two segments hold the same voxel.")
                labels[mask] = numbers[name]
        labels.flags.writeable = False
        return labels


def find_outline(source: PredictionSource, lesson: Lesson, line: Line) -> Outline:
    """Return what a lesson is about.

    Raises
    ------
    Refusal
        ``not-assessable``, ``study-gone``.
    Defect
        ``result-gone``; ``edited-gone``: no segmentation there is the one that was judged.
    Transient
        The archive is out of reach.

    """
    ours, names = _ours(source, line)
    theirs = _drawn(source, lesson, ours, line=line, names=names) if lesson.drawn else None
    return Outline(ours=ours, theirs=theirs, lesson=lesson, names=names)


def _ours(source: PredictionSource, line: Line) -> tuple[Dataset, Mapping[str, str]]:
    """Return our segmentation, and the name of each of its segments by Tracking UID."""
    found = assessable(source.case_id, archive=line.archive, ledger=line.ledger)
    results = line.ledger.deliveries.results(source.case_id)
    rows = [
        row
        for row in results
        if row.kind in SEGMENTATIONS and row.prediction_id == source.prediction_id
    ]
    names = {
        finding.tracking_uid: finding.name
        for one in found
        if one.prediction_id == source.prediction_id
        for finding in one.findings
    }
    if not rows or not names:
        raise Refusal("not-assessable", "The result does not count now, so it teaches nothing.")
    kept = line.archive.result(rows[0].sop_instance_uid, rows[0].kind)
    return read_instance(kept.content), names


def _drawn(
    source: PredictionSource,
    lesson: Lesson,
    ours: Dataset,
    *,
    line: Line,
    names: Mapping[str, str],
) -> Dataset:
    """Return the newest of the readers' segmentations that overlaps ours as the ledger has it."""
    study_id = line.ledger.cases.case(source.case_id).study_id
    versions = []
    for ds in foreign_objects(study_id, line=line, case_id=source.case_id):
        if ds.get("Modality") == "SEG" and is_version_of(ds, ours):
            with suppress(Defect):  # one that can't be read or lies elsewhere was not judged
                found = {names.get(one.tracking_uid): one.dice for one in compare(ds, ours)}
                if _is_same(lesson.drawn, found):
                    versions.append(ds)
    if not versions:
        raise _gone()
    return max(versions, key=moment_of)


def _is_same(judged: Mapping[str, float | None], found: Mapping[str | None, float]) -> bool:
    return judged.keys() == found.keys() and all(
        dice is not None and math.isclose(dice, found[name], abs_tol=_SAME_DICE)
        for name, dice in judged.items()
    )


def _gone() -> Defect:
    return Defect("edited-gone", "The segmentation that a reader drew is not in the archive now.")
