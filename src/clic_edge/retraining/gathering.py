"""A training cohort out of an appliance: clean images, certified, and what readers drew on them.

```
DIR/dicom/                                   clean, with certificate and manifest, as of `export`
DIR/images/NAME.nii.gz, labels/NAME.nii.gz   the same as labelled volumes
DIR/cohort.json                              where each label is from, and what was left out
```
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from clic_edge import __version__
from clic_edge.deid.batch import clean_all
from clic_edge.deid.keys import keyed_uid
from clic_edge.deid.manifest import write_manifest
from clic_edge.dicom.reading import read_header
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.image import InputKind
from clic_edge.errors import ConfigError, Defect, Refusal
from clic_edge.inference.predicting import in_quantity
from clic_edge.ledger.records import AuditEvent
from clic_edge.pipeline.seeing import told_by
from clic_edge.retraining.choosing import LeftOut, judged
from clic_edge.retraining.outlines import find_outline
from clic_edge.training.cohort import CohortCase, TrainingCohort, Truth, write_cohort
from clic_edge.training.material import CERTIFICATE, DATASET, case_digest
from clic_edge.training.toml_text import to_toml
from clic_edge.validation.folder import LabelledVolume, case_files, write_case

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from clic_edge.config.settings import Retraining
    from clic_edge.deid.batch import Order
    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Declaration
    from clic_edge.ledger.predictions import PredictionSource
    from clic_edge.pacs.cohort import OrthancCohort, OrthancFile
    from clic_edge.pipeline.line import Line
    from clic_edge.retraining.choosing import Lesson
    from clic_edge.retraining.outlines import Outline

CLEAN = "dicom"
"""Folder of the clean images, below that of the cohort."""
_SHORT = 8
LICENCE = "Patients' images: not to leave the site without its leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """What is gathered from, and what the site allows."""

    line: Line
    images: OrthancCohort
    policy: Retraining
    declared: Declaration
    """Of the package that is to learn."""
    out: Path
    """Folder of the cohort."""
    order: Order
    """How images are cleaned, into a folder of that folder."""

    @property
    def clean(self) -> Path:
        """Folder of the clean images."""
        return self.order.bench.out

    @property
    def numbers(self) -> dict[str, int]:
        """Label of each segment."""
        return {one.name: one.number for one in self.declared.segments}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """A prediction that can teach, before its images were touched."""

    source: PredictionSource
    outline: Outline
    files: tuple[OrthancFile, ...]


def require_allowed(policy: Retraining) -> None:
    """Return where the site allows it. Raises ConfigError ``retraining-not-allowed``."""
    if not policy.allowed:
        raise ConfigError(
            "retraining-not-allowed",
            "The site does not allow its cases to become training cases; who decides that sets "
            "[retraining] allowed = true in the settings.",
        )


def gather(asked: Gathering, since: datetime, progress: Callable[[int], None]) -> TrainingCohort:
    """Write and return the cohort of what readers said since a moment.

    `progress` is told how many files were cleaned, each time some are.

    Raises
    ------
    ConfigError
        ``retraining-not-allowed``; ``model-for-images``; ``opt-out-unreadable``;
        ``opt-out-in-cohort``: the folder holds somebody who opted out since; as `clean_all`.
    Transient
        The archive is out of reach, or the folder takes no file.

    """
    require_allowed(asked.policy)
    if asked.declared.volume is None:
        raise asked.declared.is_for(InputKind.IMAGE)
    opted_out = _opted_out(asked.policy.opt_out)
    if any((asked.clean / subject).exists() for subject in opted_out):
        raise ConfigError(
            "opt-out-in-cohort",
            f"{asked.out} holds images of somebody who opted out since; delete it, and make the "
            "cohort anew.",
        )
    left_out = Counter[LeftOut]()
    chosen = tuple(_chosen(asked, since, opted_out, left_out=left_out))
    clean_all((file for one in chosen for file in one.files), asked.order, progress)
    write_manifest(asked.clean)
    cases = tuple(_written(asked, chosen, left_out))
    cohort = TrainingCohort(
        software=f"clic-edge {__version__}",
        model_id=asked.declared.id,
        profile=asked.order.bench.profile.name,
        key_id=asked.order.bench.key.key_id,
        certificate=sha256((asked.clean / CERTIFICATE).read_bytes()).hexdigest(),
        accepted_masks=asked.policy.accepted_masks,
        left_out={str(reason): count for reason, count in sorted(left_out.items())},
        cases=cases,
    )
    write_cohort(asked.out, cohort)
    told = {"name": f"Cases of a site, judged by readers ({asked.declared.id})", "licence": LICENCE}
    (asked.out / DATASET).write_text(to_toml(told), encoding="utf-8")
    return cohort


def _chosen(
    asked: Gathering,
    since: datetime,
    opted_out: Collection[str],
    *,
    left_out: Counter[LeftOut],
) -> Iterator[_Chosen]:
    """Yield the newest result of each series that can teach, and count the others."""
    line, seen = asked.line, set[str]()
    for source in line.ledger.predictions.sources(asked.declared.id, since):
        if source.subject_id in opted_out:
            left_out[LeftOut.OPTED_OUT] += 1
            continue
        said = [
            one
            for one in line.ledger.assessments.of_case(source.case_id)
            if one.prediction_id == source.prediction_id
        ]
        lesson = judged(said, asked.numbers, accepted_masks=asked.policy.accepted_masks)
        if isinstance(lesson, LeftOut):
            left_out[lesson] += 1
        elif source.series_uid in seen:
            left_out[LeftOut.AGAIN] += 1
        else:
            seen.add(source.series_uid)
            yield from _found(asked, source, lesson, left_out=left_out)


def _found(
    asked: Gathering, source: PredictionSource, lesson: Lesson, *, left_out: Counter[LeftOut]
) -> Iterator[_Chosen]:
    """Yield the prediction with its outline and its images, where both are still there."""
    try:
        yield _Chosen(
            source=source,
            outline=find_outline(source, lesson, asked.line),
            files=asked.images.series_files(source.series_id),
        )
    except Refusal:
        left_out[LeftOut.NOT_CURRENT] += 1
    except Defect:
        left_out[LeftOut.OUTLINE_GONE] += 1


def _written(
    asked: Gathering, chosen: Iterable[_Chosen], left_out: Counter[LeftOut]
) -> Iterator[CohortCase]:
    """Write each case as a labelled volume and yield what the cohort says of it."""
    for kind in ("images", "labels"):
        shutil.rmtree(asked.out / kind, ignore_errors=True)
    for one in chosen:
        case = _labelled(asked, one)
        if isinstance(case, LeftOut):
            left_out[case] += 1
            continue
        write_case(asked.out, case)
        event = AuditEvent(
            at=datetime.now(UTC),
            case_id=one.source.case_id,
            action="gathered",
            detail=f"into a training cohort for {asked.declared.id}, as {case.name}",
        )
        asked.line.ledger.records.note(event)
        yield CohortCase(
            name=case.name,
            subject=one.source.subject_id,
            series_uid=case.volume.series_uid,
            truth=Truth.ACCEPTED if one.outline.theirs is None else Truth.EDITED,
            model_version=one.source.model_version,
            digest=case_digest(*case_files(asked.out, case.name)),
        )


def _labelled(asked: Gathering, one: _Chosen) -> LabelledVolume | LeftOut:
    """Return the clean volume with its outline on it, or why there is none."""
    try:
        volume = _volume(asked, one)
    except (Refusal, Defect):
        return LeftOut.NO_VOLUME
    if volume is None:
        return LeftOut.NOT_CLEAN
    try:
        labels = one.outline.labels(volume.geometry, asked.numbers)
    except Defect:
        return LeftOut.OUTLINE_GONE
    name = f"{one.source.subject_id}-{one.source.prediction_id[:_SHORT]}"
    return LabelledVolume(name=name, volume=volume, reference=labels)


def _volume(asked: Gathering, one: _Chosen) -> Volume | None:
    """Return the volume of the clean files, in the quantity that the package declares.

    None where a file of the series was held back: what is left would be another volume.

    Raises
    ------
    Refusal
        As `build_volume`; ``suv-unknown``.
    Defect
        As `build_volume`.

    """
    series = asked.line.archive.series(one.source.series_id)
    clean = _clean(asked, series)
    if clean is None:
        return None
    case = asked.line.ledger.cases.case(one.source.case_id)
    volume = build_volume(clean, asked.line.pipeline(case.pipeline).volume_policy)
    volume = told_by(series, volume, asked.declared.needs)
    quantity = asked.declared.input.quantity
    if quantity and volume.acquisition.suv_bw_factor is None:
        raise Refusal("suv-unknown", "The images do not say for sure how their values become SUV.")
    return replace(volume, voxels=in_quantity(volume, quantity))


def _clean(asked: Gathering, series: Series) -> CleanSeries | None:
    """Return what was written of a series, slice for slice; None where a slice was not."""
    pseudonym = asked.order.bench.key.pseudonym(series.patient_id, series.issuer_of_patient_id)
    study, own = (
        keyed_uid(uid, pseudonym) for uid in (series.study_instance_uid, series.series_instance_uid)
    )
    folder = asked.clean / pseudonym.subject_id / study / own
    uids = [str(read_header(one.content).SOPInstanceUID) for one in series.instances]
    files = [folder / f"{keyed_uid(uid, pseudonym)}.dcm" for uid in uids]
    if not all(path.is_file() for path in files):
        return None
    return CleanSeries(
        subject_id=pseudonym.subject_id,
        series_uid=own,
        instances=tuple(CleanInstance(content=path.read_bytes()) for path in files),
    )


def _opted_out(path: Path | None) -> frozenset[str]:
    """Return the pseudonyms on the site's list. Raises ConfigError ``opt-out-unreadable``."""
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "opt-out-unreadable", f"The list of who opted out, {path}, can't be read."
        ) from error
    return frozenset(line.partition("#")[0].strip() for line in lines) - {""}
