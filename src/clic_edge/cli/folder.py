"""Commands on a folder of DICOM files: which pipeline takes what, and one run of it."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.app import writer_names
from clic_edge.cli.console import note, state, stdout, table
from clic_edge.cli.context import context_of
from clic_edge.cli.standing import require_not_retired
from clic_edge.config import FolderDestination, cross_check, load_pipelines, load_settings
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError, Defect, Refusal, Transient

if TYPE_CHECKING:
    from clic_edge.config import Pipeline, Settings
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.folder import FolderArchive
    from clic_edge.pipeline.line import Line

Folder = Annotated[
    Path,
    typer.Argument(help="Folder of DICOM files, looked through to any depth.", metavar="FOLDER"),
]
_EXIT_CODES = {
    CaseState.REFUSED: Refusal.exit_code,
    CaseState.WAITING: Transient.exit_code,
    CaseState.QUARANTINED: Defect.exit_code,
}


def route(context: typer.Context, folder: Folder) -> None:
    """Show which pipeline takes which series of a folder, and why the others are not taken.

    Texts that were found in the files are shown here, and nowhere else.

    Example: `clic-edge route ~/studies/4711`
    """
    from clic_edge.pipeline.routing import route as routes  # noqa: PLC0415 - for a fast --help

    pipelines = load_pipelines(load_settings(context_of(context).settings_path).appliance.pipelines)
    archive = open_folder(folder)
    for study_id in archive.study_ids:
        routing = routes(archive.study(study_id), pipelines)
        table(
            f"study {study_id}",
            ("pipeline", "series", "instances", "", "why", "found"),
            (
                (
                    routed.pipeline,
                    "-" if (n := one.series.series_number) is None else str(n),
                    str(one.series.number_of_instances),
                    Text("taken", "green") if one.verdict.taken else Text("not taken", "yellow"),
                    one.verdict.sentence,
                    ", ".join(reason.found for reason in one.verdict.reasons if reason.found),
                )
                for routed in routing.pipelines
                for one in routed.series
            ),
        )


def run(
    context: typer.Context,
    folder: Folder,
    *,
    pipeline: Annotated[str, typer.Option(help="Name of the pipeline.")],
    out: Annotated[Path, typer.Option(help="Where the result objects are written.")],
    model: Annotated[
        str | None, typer.Option(help="Another model package, e.g. one that is being tested.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Destination profile: which kinds of results are written.")
    ] = None,
) -> None:
    """Run one folder through a pipeline, as the worker would, and write the results to a folder.

    Nothing is remembered: the ledger is in memory. `OUT/report.json` says what was found.
    Whatever state a model is in on the site, it runs here, unless it is retired.

    Example: `clic-edge run ~/studies/4711 --pipeline hippocampus --out results`
    """
    from clic_edge.ledger import Ledger  # noqa: PLC0415 - for a fast --help
    from clic_edge.ledger.database import migrate, open_engine  # noqa: PLC0415 - as above

    settings, chosen = _chosen(context_of(context).settings_path, pipeline, out, profile=profile)
    if model:
        chosen = chosen.model_copy(update={"model": model, "challengers": ()})
        cross_check(settings, (chosen,), writers=writer_names())
    require_not_retired(settings, chosen)
    archive = open_folder(folder)
    if archive.unreadable:
        raise Defect(
            "unreadable-file",
            f"{archive.unreadable[0]} cannot be read; a study with a broken file is not run.",
        )
    engine = open_engine("sqlite://")
    migrate(engine)
    ledger = Ledger.on(engine)
    _make(out)
    cases = _process(_line(settings, chosen, archive=archive, ledger=ledger), archive)
    (out / "report.json").write_text(json.dumps(_report(cases, ledger), indent=1, default=str))
    _show(cases, ledger)
    note(f"see {out}")
    code = max((_EXIT_CODES.get(case.state, 0) for case in cases), default=0)
    if code:
        raise typer.Exit(code)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out-unwritable", f"{out} cannot be made: {error.strerror}.") from error


def open_folder(folder: Path) -> FolderArchive:
    """Return the folder as an archive, and name the files that could not be read.

    Raises
    ------
    ConfigError
        ``no-dicom``: the folder does not exist, or holds no DICOM file.

    """
    from clic_edge.pacs.folder import FolderArchive  # noqa: PLC0415 - for a fast --help

    if not folder.is_dir():
        raise ConfigError("no-dicom", f"{folder} is no folder.")
    archive = FolderArchive(folder)
    for path in archive.unreadable:
        note(f"{path} looks like DICOM, but its header cannot be read; it is left out.")
    if not archive.study_ids:
        raise ConfigError("no-dicom", f"There is no readable DICOM file in {folder}.")
    return archive


def _chosen(
    settings_path: Path, name: str, out: Path, *, profile: str | None
) -> tuple[Settings, Pipeline]:
    settings = load_settings(settings_path)
    known = {one.name: one for one in load_pipelines(settings.appliance.pipelines)}
    if name not in known:
        raise ConfigError(
            "no-such-pipeline", f"There is no pipeline {name}; there is {', '.join(known)}."
        )
    to_folder = FolderDestination(kind="folder", path=out, profile=profile)
    by_file = settings.appliance.model_copy(update={"model_states": "configured"})
    return (
        settings.model_copy(update={"destinations": {"out": to_folder}, "appliance": by_file}),
        known[name].model_copy(update={"destinations": ("out",)}),
    )


def _line(
    settings: Settings, pipeline: Pipeline, *, archive: FolderArchive, ledger: Ledger
) -> Line:
    from clic_edge.assembly import build_line  # noqa: PLC0415 - for a fast --help
    from clic_edge.deid.keys import DeidKey, load_key  # noqa: PLC0415 - as above

    path = settings.appliance.deid_key
    key = load_key(path) if path.is_file() else DeidKey(secrets.token_bytes(32))
    if not path.is_file():
        note("There is no site key; pseudonyms of this run are under a key that is thrown away.")
    return build_line(settings, (pipeline,), archive=archive, ledger=ledger, key=key)


def _process(line: Line, archive: FolderArchive) -> list[Case]:
    from clic_edge.pipeline.intake import intake  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.process import directly, process  # noqa: PLC0415 - as above

    cases = []
    for study_id in archive.study_ids:
        for case in intake(
            study_id, line.rules, archive=archive, ledger=line.ledger, expedited=True
        ):
            if not case.state.is_end:
                process(case.case_id, case.attempt, line=line, step=directly)
            cases.append(line.ledger.cases.case(case.case_id))
    return cases


def _report(cases: list[Case], ledger: Ledger) -> list[dict[str, object]]:
    return [
        {
            "case": asdict(case),
            "stages": dict(ledger.records.stages(case.case_id)),
            "predictions": [
                {
                    feature.name: feature.text if feature.number is None else feature.number
                    for feature in row.features
                }
                for row in ledger.predictions.rows(case.received_at)
                if row.case_id == case.case_id
            ],
            "receipts": [asdict(receipt) for receipt in ledger.deliveries.receipts(case.case_id)],
        }
        for case in cases
    ]


def _show(cases: list[Case], ledger: Ledger) -> None:
    table(
        "cases",
        ("case", "pipeline", "state", "objects", "why"),
        (
            (
                case.case_id[:8],
                case.pipeline,
                state(case.state),
                str(len(ledger.deliveries.results(case.case_id))),
                case.reason,
            )
            for case in cases
        ),
    )
    if not cases:
        stdout.print("Nothing to do: the folder holds only results of clic-edge.")
