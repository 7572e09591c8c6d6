"""`clic-edge truth`: what turned out to be true later, from pathology, follow-up or readers."""

from __future__ import annotations

import hmac
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import note, stdout
from clic_edge.cli.context import appliance_of
from clic_edge.domain.truth import Truth
from clic_edge.ledger.database import require_ledger
from clic_edge.ledger.truth_file import read_truths, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.app import Appliance
    from clic_edge.ledger.truth_file import TruthLine

app = typer.Typer(
    help="Later ground truth: by report, adjudication, pathology or follow-up.",
    no_args_is_help=True,
)


@app.command("import")
def import_truths(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV with a line of names.", metavar="FILE.csv")],
    *,
    dry: Annotated[
        bool, typer.Option("--dry", help="Say what would be new; write nothing.")
    ] = False,
) -> None:
    """Remember what a CSV file says is true; all of it, or nothing where a line is wrong.

    Columns: `case` (as `cases list` prints it) or `study` (as `truth stand-ins` prints it);
    `finding` (a segment or category of the model); `label` (present, absent) or `value` (in the
    model's unit) or both; `origin` (report, follow-up, adjudicated, pathology: the last counts
    most); `source` (a word of yours that tells sources apart); `confidence` (0 to 1, or empty).

    Importing a file again changes nothing. What a source corrects stands beside what it said.

    Example: `clic-edge truth import pathology.csv --dry`
    """
    appliance = appliance_of(context)
    require_ledger(appliance.engine)
    now = datetime.now(UTC)
    given = [one for line, ids in _matched(appliance, file) for one in _truths(line, ids, now)]
    new = appliance.ledger.truths.record(given, dry=dry)
    would = "would be new" if dry else "are new"
    stdout.print(f"{new} of {len(given)} truths {would}.")


@app.command("stand-ins")
def stand_ins(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="Text file with one Study Instance UID on each line.")
    ],
) -> None:
    """Print the keyed stand-in of each study, for the column `study` of `truth import`.

    The UIDs are read, and written nowhere. Lines come out in the order in which they went in.

    Example: `clic-edge truth stand-ins uids.txt`
    """
    from clic_edge.domain.study import digest_of  # noqa: PLC0415 - knows the patient's study

    secret = _secret(appliance_of(context))
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(1, "uid", f"{file} is no readable text file.") from error
    for line in lines:
        sys.stdout.write(f"{_stand_in(secret, digest_of([line.strip()]))}\n")


def _secret(appliance: Appliance) -> bytes:
    from clic_edge.deid.keys import load_key  # noqa: PLC0415 - for a fast --help

    return load_key(appliance.settings.appliance.deid_key).derived("truth")


def _stand_in(secret: bytes, study_digest: str) -> str:
    return hmac.digest(secret, study_digest.encode(), "sha256")[:16].hex()


def _matched(appliance: Appliance, file: Path) -> Iterator[tuple[TruthLine, tuple[str, ...]]]:
    """Yield each line with the cases that it is about."""
    lines = list(read_truths(file))
    by_study: dict[str, list[str]] = {}
    secret = _secret(appliance) if any(line.study for line in lines) else b""
    ids = set[str]()
    for one in appliance.ledger.truths.known():
        ids.add(one.case_id)
        if secret:
            by_study.setdefault(_stand_in(secret, one.study_digest), []).append(one.case_id)
    named = [[line.case] if line.case else by_study.get(line.study, []) for line in lines]
    wanted = {case_id for some in named for case_id in some if case_id in ids}
    findings = appliance.ledger.truths.findings(wanted)
    strangers = 0
    for line, some in zip(lines, named, strict=True):
        if line.study and not some:
            strangers += 1
            continue
        if line.case and line.case not in ids:
            raise wrong(line.number, "case", "there is no such case; see `clic-edge cases list`.")
        about = tuple(it for it in some if line.finding in findings.get(it, ()))
        if not about:
            raise wrong(line.number, "finding", "no model that saw this study has such a finding.")
        yield line, about
    if strangers:
        note(f"{strangers} lines are about studies that were never here.")


def _truths(line: TruthLine, case_ids: tuple[str, ...], now: datetime) -> Iterator[Truth]:
    for case_id in case_ids:
        yield Truth(
            case_id=case_id,
            finding=line.finding,
            present=line.present,
            value=line.value,
            origin=line.origin,
            source=line.source,
            confidence=line.confidence,
            at=now,
        )
