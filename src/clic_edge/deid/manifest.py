"""``manifest.json``: a cohort by subjects, studies, series and files, as the certificate lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from clic_edge.deid.certificate import NAME, EndRecord, ObjectRecord, RunRecord, read_chain

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class File(_Entry):
    """One clean file."""

    name: str
    """Its path below the folder of the manifest."""
    sop_class_uid: str
    sha256: str


class SeriesEntry(_Entry):
    """One series, by its keyed UID."""

    series_uid: str
    files: list[File] = []


class StudyEntry(_Entry):
    """One study, by its keyed UID."""

    study_uid: str
    series: list[SeriesEntry] = []


class SubjectEntry(_Entry):
    """One subject, by its pseudonym."""

    subject_id: str
    studies: list[StudyEntry] = []


class Manifest(_Entry):
    """What a folder holds and how it came to be; no identifier in it."""

    format: str = "clic-edge cohort 1"
    software: str = ""
    profile: str = ""
    policy_digest: str = ""
    table_edition: str = ""
    key_id: str = ""
    number_of_subjects: int = 0
    number_of_studies: int = 0
    number_of_series: int = 0
    number_of_files: int = 0
    quarantined: dict[str, int] = {}
    """Files that the last run held, by reason."""
    subjects: list[SubjectEntry] = []


def write_manifest(folder: Path) -> Manifest:
    """Write and return the manifest of a folder that has a certificate; sorted, so that it is stable."""
    manifest = Manifest()
    files: dict[str, ObjectRecord] = {}
    for link in read_chain(folder / NAME):
        match link.record:
            case RunRecord() as run:
                manifest.software, manifest.profile = run.software, run.profile
                manifest.policy_digest, manifest.key_id = run.policy_digest, run.key_id
                manifest.table_edition = run.table_edition
            case ObjectRecord() as made:
                files[made.name] = made
            case EndRecord() as end:
                manifest.quarantined = end.quarantined
    manifest.subjects = _subjects(files)
    studies = [study for subject in manifest.subjects for study in subject.studies]
    manifest.number_of_subjects = len(manifest.subjects)
    manifest.number_of_studies = len(studies)
    manifest.number_of_series = sum(len(study.series) for study in studies)
    manifest.number_of_files = len(files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="ascii")
    return manifest


def _subjects(files: dict[str, ObjectRecord]) -> list[SubjectEntry]:
    subjects: dict[str, SubjectEntry] = {}
    studies: dict[tuple[str, str], StudyEntry] = {}
    series: dict[tuple[str, str, str], SeriesEntry] = {}
    for made in sorted(
        files.values(), key=lambda one: (one.subject, one.study, one.series, one.name)
    ):
        levels = (made.subject, made.study, made.series)
        if made.subject not in subjects:
            subjects[made.subject] = SubjectEntry(subject_id=made.subject)
        if levels[:2] not in studies:
            studies[levels[:2]] = StudyEntry(study_uid=made.study)
            subjects[made.subject].studies.append(studies[levels[:2]])
        if levels not in series:
            series[levels] = SeriesEntry(series_uid=made.series)
            studies[levels[:2]].series.append(series[levels])
        series[levels].files.append(
            File(name=made.name, sop_class_uid=made.sop_class, sha256=made.digest_out)
        )
    return list(subjects.values())
