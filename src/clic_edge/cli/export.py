"""`clic-edge export`: a de-identified cohort out of the appliance's Orthanc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note
from clic_edge.cli.context import appliance_of
from clic_edge.cli.deid import ProfileName, Workers, cleaned, finish, order_of
from clic_edge.config.toml import nearest
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.deid.batch import Summary
    from clic_edge.pacs.cohort import OrthancCohort


def export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="Where files, certificate and manifest go.", metavar="OUT")
    ],
    *,
    query: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="DICOM keyword and value, as in C-FIND; may be repeated."
        ),
    ] = None,
    accessions: Annotated[
        Path | None, typer.Option(help="Text file with one accession number on each line.")
    ] = None,
    profile: ProfileName = "research",
    workers: Workers = 1,
) -> None:
    """Write the studies that match as a de-identified cohort, with OUT/manifest.json for training.

    A second run adds what is new. Exit code 0: every file is clean; 5: some are in quarantine.

    Example: `clic-edge export --query ModalitiesInStudy=MR --query StudyDate=2026- cohort`
    """
    from clic_edge.deid.batch import RunCutShort  # noqa: PLC0415 - for a fast --help
    from clic_edge.deid.manifest import write_manifest  # noqa: PLC0415 - as above

    appliance = appliance_of(context)
    order = order_of(appliance.settings, profile, out=out, workers=workers)
    cohort = appliance.cohort()
    studies = _studies(cohort, _parsed(query or ()), accessions)
    files = (file for study_id in studies for file in cohort.files(study_id))
    try:
        summary = cleaned(files, order, total=None)
    except RunCutShort as error:
        _tell(error.summary)
        raise
    manifest = write_manifest(out)
    note(
        f"{len(studies)} studies matched; {out} holds {manifest.number_of_files} files of "
        f"{manifest.number_of_subjects} subjects."
    )
    _tell(summary)
    finish(summary, out)


def _parsed(query: Sequence[str]) -> dict[str, str]:
    from pydicom.datadict import keyword_dict  # noqa: PLC0415 - for a fast --help

    parsed = {}
    for asked in query:
        keyword, equals, value = asked.partition("=")
        if not equals or not value:
            raise ConfigError("bad-query", f"--query {asked} should be KEY=VALUE.")
        if keyword not in keyword_dict:
            advice = nearest(keyword, keyword_dict)
            raise ConfigError("bad-query", f"{keyword} is no DICOM keyword; {advice}.")
        parsed[keyword] = value
    return parsed


def _studies(
    cohort: OrthancCohort, query: dict[str, str], accessions: Path | None
) -> tuple[str, ...]:
    if bool(query) == bool(accessions):
        raise ConfigError("bad-query", "Name the studies: by --query, or by --accessions.")
    if accessions is None:
        return cohort.find(query)
    try:
        lines = accessions.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("bad-accessions", f"{accessions} is no readable text file.") from error
    numbers = [line.strip() for line in lines if line.strip()]
    found, without = cohort.with_accession_numbers(numbers)
    for position in without:
        note(f"Accession number {position} of {len(numbers)} has no study here.")
    return found


def _tell(summary: Summary) -> None:
    """Name what is in quarantine by Orthanc's handles, for the operator."""
    for origin, held in summary.held:
        note(f"{origin}: {held.code}")
