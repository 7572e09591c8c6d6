"""`clic-edge models accept | promote | state | suspend | retire | history`: who may speak."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, stdout, table
from clic_edge.cli.context import opened
from clic_edge.domain.standing import ModelState, Placement
from clic_edge.errors import ClicEdgeError, ConfigError
from clic_edge.ledger.database import require_ledger

if TYPE_CHECKING:
    from clic_edge.app import Appliance
    from clic_edge.config import Pipeline, Settings
    from clic_edge.deid.keys import DeidKey
    from clic_edge.domain.standing import StateEvent
    from clic_edge.inference.testset import Replayed
    from clic_edge.pipeline.acceptance_report import AcceptanceReport

Model = Annotated[
    str,
    typer.Argument(
        help="Folder of the package on the site; or its id, or how its digest begins.",
        metavar="MODEL",
    ),
]
PipelineName = Annotated[str, typer.Option("--pipeline", help="Name of the pipeline.")]
Person = Annotated[str, typer.Option("--by", help="Your name, as it stands in the record.")]
Reason = Annotated[
    str, typer.Option("--why", help="Why, in a sentence. Readers may see it: no patients in it.")
]
STYLES = {
    ModelState.ACTIVE: "green",
    ModelState.SHADOW: "cyan",
    ModelState.TESTING: "blue",
    ModelState.SUSPENDED: "bold yellow",
    ModelState.RETIRED: "dim",
}


def accept(
    context: typer.Context,
    model: Model,
    *,
    pipeline: PipelineName,
    validation: Annotated[Path, typer.Option(help="JSON report of `clic-edge validate`.")],
    by: Person,
    out: Annotated[Path, typer.Option(help="New file of the acceptance report, JSON.")],
) -> None:
    """Hold a model against what the pipeline's `[acceptance]` asks for; write and sign the report.

    Its sealed test set runs here and now; the validation report must be of this package, to the
    byte; what it did in the shadow is read from the log.
    """
    from clic_edge.pipeline import acceptance  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.acceptance_report import signed  # noqa: PLC0415 - as above

    appliance = opened(context)
    key = site_key(appliance)
    placed = _placement(appliance, model, _pipeline(appliance, pipeline))
    evidence = acceptance.Evidence(
        replayed=_replayed(appliance.settings, model),
        validation=text_in(validation),
        shadow=acceptance.shadowed(appliance.ledger, placed),
    )
    limits = _pipeline(appliance, pipeline).acceptance
    report = acceptance.examine(placed, evidence, limits, person=by, at=datetime.now(UTC))
    report = signed(report, key)
    _write(out, report.model_dump_json(indent=1) + "\n")
    show_report(report)
    note(f"see {out}")
    if not report.is_met:
        raise typer.Exit(ConfigError.exit_code)


def promote(
    context: typer.Context,
    model: Model,
    *,
    pipeline: PipelineName,
    report: Annotated[Path, typer.Option(help="Acceptance report, of `models accept`.")],
    by: Person,
    why: Reason,
) -> None:
    """Make a model active, on an acceptance report; the one that was goes into the shadow."""
    from clic_edge.deid.page_key import PageKey  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.acceptance import promote as make_active  # noqa: PLC0415 - as above
    from clic_edge.pipeline.acceptance_report import read_report  # noqa: PLC0415 - as above

    appliance = opened(context)
    event = make_active(
        appliance.ledger.standing,
        _placement(appliance, model, _pipeline(appliance, pipeline)),
        read_report(text_in(report)),
        key=PageKey.of(site_key(appliance)),
        person=by,
        reason=why,
    )
    _say(event)


def state(
    context: typer.Context,
    model: Model,
    to: Annotated[ModelState, typer.Argument(help="Where it goes.", metavar="STATE")],
    *,
    pipeline: PipelineName,
    by: Person,
    why: Reason,
) -> None:
    """Move a model to a state: installed, testing, shadow, suspended or retired.

    To active it comes by `promote` only.

    Example: `clic-edge models state brain-2 shadow --pipeline brain --by "A. Jensen" --why "…"`
    """
    _move(context, model, to, pipeline=pipeline, by=by, why=why)


def suspend(
    context: typer.Context, model: Model, *, pipeline: PipelineName, by: Person, why: Reason
) -> None:
    """Stop a model at once: its cases are refused, and readers are told why in the PACS."""
    _move(context, model, ModelState.SUSPENDED, pipeline=pipeline, by=by, why=why)


def retire(
    context: typer.Context, model: Model, *, pipeline: PipelineName, by: Person, why: Reason
) -> None:
    """End a model in a pipeline: it never runs there again, and there is no way back."""
    _move(context, model, ModelState.RETIRED, pipeline=pipeline, by=by, why=why)


def history(
    context: typer.Context,
    pipeline: Annotated[str | None, typer.Option(help="Only this pipeline.")] = None,
) -> None:
    """Print every move of every model: when, who, why, from where to where; and prove the chain."""
    standing = opened(context).ledger.standing
    events = standing.history(pipeline)
    table(
        f"moves: {len(events)}",
        ("at", "pipeline", "model", "digest", "from", "to", "by", "why"),
        (
            (
                moment(one.at),
                one.placement.pipeline,
                f"{one.placement.model_id} {one.placement.version}",
                one.placement.digest[:12],
                one.was or "",
                Text(one.now, STYLES.get(one.now, "")),
                one.person,
                one.reason,
            )
            for one in events
        ),
    )
    note(f"The chain of all {standing.verify()} moves is whole.")


def require_not_retired(settings: Settings, pipeline: Pipeline) -> None:
    """Return where the site has not retired a pipeline's model. Raises ConfigError ``model-retired``."""
    from clic_edge.inference.package import load_package  # noqa: PLC0415 - as above
    from clic_edge.ledger import Ledger  # noqa: PLC0415 - as above
    from clic_edge.ledger.database import open_engine  # noqa: PLC0415 - as above

    engine = open_engine(settings.appliance.database)
    try:
        require_ledger(engine)
        digest = load_package(settings.appliance.models / pipeline.model).digest
    except ClicEdgeError:
        return  # no ledger here, or a package of which the line says what is wrong
    event = Ledger.on(engine).standing.standing(pipeline.name).get(digest)
    if event and event.now is ModelState.RETIRED:
        raise ConfigError(
            "model-retired",
            f"The model {pipeline.model} is retired in {pipeline.name} and does not run again: "
            f"{event.reason}",
        )


def _move(
    context: typer.Context, model: str, to: ModelState, *, pipeline: str, by: str, why: str
) -> None:
    from clic_edge.pipeline.standing import move  # noqa: PLC0415 - as above

    appliance = opened(context)
    placed = _placement(appliance, model, _pipeline(appliance, pipeline))
    _say(move(appliance.ledger.standing, placed, to, person=by, reason=why))


def _pipeline(appliance: Appliance, name: str) -> Pipeline:
    for one in appliance.pipelines:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in appliance.pipelines)
    raise ConfigError("no-such-pipeline", f"There is no pipeline {name}; there is {known}.")


def _placement(appliance: Appliance, model: str, pipeline: Pipeline) -> Placement:
    """Return the model that is meant: what lies in the folder, or what the history knows.

    A model can be suspended or retired when its package is broken or gone.
    """
    from clic_edge.inference.package import load_package  # noqa: PLC0415 - as above
    from clic_edge.pipeline.standing import placement  # noqa: PLC0415 - as above

    folder = appliance.settings.appliance.models / model
    try:
        return placement(pipeline.name, load_package(folder).identity)
    except ClicEdgeError as error:
        known = [
            one.placement for one in appliance.ledger.standing.standing(pipeline.name).values()
        ]
        meant = [one for one in known if model == one.model_id or one.digest.startswith(model)]
        if len(meant) == 1:
            return meant[0]
        if folder.is_dir():
            raise
        raise ConfigError(
            "model-unknown",
            f"{model} is no package on the site, and {len(meant)} models in the history of "
            f"{pipeline.name} go by that name.",
        ) from error


def _replayed(settings: Settings, model: str) -> tuple[Replayed, ...]:
    from clic_edge.inference.loading import load_runtime  # noqa: PLC0415 - as above
    from clic_edge.inference.signing import verify_signature  # noqa: PLC0415 - as above
    from clic_edge.inference.testset import replay  # noqa: PLC0415 - as above
    from clic_edge.pipeline.granting import granted  # noqa: PLC0415 - as above

    folder = settings.appliance.models / model
    signed = not settings.appliance.unsigned_models
    if signed:
        verify_signature(folder, settings.appliance.model_keys)
    site = granted(settings.runtimes, trusted=signed)
    return tuple(replay(folder, load_runtime(folder, site)))


def site_key(appliance: Appliance) -> DeidKey:
    """Return the key with which the site signs its reports. Raises as `load_key`."""
    from clic_edge.deid.keys import load_key  # noqa: PLC0415 - as above

    return load_key(appliance.settings.appliance.deid_key)


def text_in(path: Path) -> str:
    """Return the text of a file. Raises ConfigError ``no-such-file``."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("no-such-file", f"{path} can't be read.") from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError("out-unwritable", f"{path} cannot be made: {error.strerror}.") from error


def _say(event: StateEvent) -> None:
    placed = event.placement
    stdout.print(
        f"{placed.model_id} {placed.version} ({placed.digest[:12]}) is {event.now} in "
        f"{placed.pipeline}, by {event.person}"
    )


def show_report(report: AcceptanceReport) -> None:
    """Print what was asked of a model and what was found."""
    table(
        f"{report.model_id} {report.version} in {report.pipeline}",
        ("asked for", "found", "", "limit", ""),
        (
            (
                one.name,
                "-" if one.found is None else f"{one.found:.4g}",
                one.sense,
                f"{one.limit:.4g}",
                Text("met", "green") if one.met else Text("not met", "bold red"),
            )
            for one in report.criteria
        ),
    )
