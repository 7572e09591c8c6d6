"""`clic-edge batch`: a retrospective run over an archive."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from clic_edge.cli.console import moment, note, stdout, table
from clic_edge.cli.context import ledger_of, opened
from clic_edge.cli.options import with_options
from clic_edge.domain.batch import Batch, BatchState, StudyState
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.app import Appliance
    from clic_edge.domain.batch import Progress
    from clic_edge.pacs.transport import StudySource

HERE = "here"
_TELL_SECONDS = 10.0

app = typer.Typer(
    help="Retrospective runs over an archive, behind the clinical cases.",
    invoke_without_command=True,
)
Id = Annotated[str, typer.Argument(help="As `batch list` prints it.")]
By = Annotated[str, typer.Option("--by", help="Your name, for the audit trail.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `clic-edge batch`."""

    context: typer.Context
    query: Annotated[
        str, typer.Option(help="Which studies: `Modality=MR,StudyDate=20250101-20251231`.")
    ] = ""
    source: Annotated[
        str, typer.Option("--from", help="A destination's name; `here` for the own Orthanc.")
    ] = HERE
    pipeline: Annotated[str, typer.Option(help="Which pipeline runs them.")] = ""
    limit: Annotated[int, typer.Option(min=0, help="At most so many studies; 0 for all.")] = 0
    per_hour: Annotated[
        int, typer.Option(min=0, help="At most so many begin in an hour; 0 for no limit.")
    ] = 0
    room: Annotated[int, typer.Option(min=1, help="Cases of it open at a time.")] = 8
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Refuse to begin where results would be delivered.")
    ] = False
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest such batch, if there is one.")
    ] = False
    by: By = ""


@app.callback()
@with_options(Asked)
def batch(asked: Asked) -> None:
    """Run a pipeline over the studies of an archive, and show how far it is.

    Example: `clic-edge batch --query Modality=MR,StudyDate=20250101-20251231 --from pacs --pipeline head`
    """
    if asked.context.invoked_subcommand:
        return
    if not asked.query or not asked.pipeline:
        raise ConfigError("batch-query", "Say which studies with --query, and --pipeline.")
    appliance = opened(asked.context)
    if asked.shadow:
        from clic_edge.pipeline.batch import require_shadow  # noqa: PLC0415 - for a fast --help

        require_shadow(appliance.ledger, asked.pipeline)
    found = _unfinished(appliance, asked) if asked.resume else None
    begun = found or _begun(appliance, asked)
    appliance.ledger.batches.move(begun.batch_id, BatchState.OPEN, person=asked.by)
    _drive(appliance, begun, limit=asked.limit)


def _unfinished(appliance: Appliance, asked: Asked) -> Batch | None:
    """Return the newest batch that is the same and has not ended."""
    same = [
        one
        for one in appliance.ledger.batches.all()
        if (one.query, one.source, one.pipeline) == (asked.query, asked.source, asked.pipeline)
        and one.state in {BatchState.OPEN, BatchState.PAUSED}
    ]
    return same[-1] if same else None


def _begun(appliance: Appliance, asked: Asked) -> Batch:
    begun = Batch(
        batch_id=uuid4().hex[:8],
        pipeline=asked.pipeline,
        source=asked.source,
        query=asked.query,
        per_hour=asked.per_hour,
        room=asked.room,
        state=BatchState.OPEN,
        created_at=datetime.now(UTC),
    )
    _require_sound(appliance, begun)
    appliance.ledger.batches.begin(begun, person=asked.by)
    return begun


@app.command("list")
def list_batches(context: typer.Context) -> None:
    """List the batches, newest last."""
    batches = ledger_of(context).batches
    now = datetime.now(UTC)
    table(
        f"batches: {len(batches.all())}",
        ("batch", "pipeline", "from", "query", "state", "begun", "over"),
        (
            (
                *(one.batch_id, one.pipeline, one.source, one.query, str(one.state)),
                *(moment(one.created_at), f"{seen.over} of {seen.total}"),
            )
            for one in batches.all()
            for seen in [batches.progress(one.batch_id, now)]
        ),
    )


@app.command()
def show(context: typer.Context, batch_id: Id) -> None:
    """Show how far a batch is, and what its cases ended as."""
    batches = ledger_of(context).batches
    seen = batches.progress(batches.batch(batch_id).batch_id, datetime.now(UTC))
    stdout.print(_line(seen), soft_wrap=True)
    table("studies", ("state", "count"), ((str(state), str(n)) for state, n in seen.counts))
    table("cases", ("ended as", "count"), ((state, str(n)) for state, n in seen.ends))


@app.command()
def pause(context: typer.Context, batch_id: Id, by: By = "") -> None:
    """Let no further study begin; the cases under way go on."""
    _move(context, batch_id, BatchState.PAUSED, person=by)


@app.command()
def cancel(context: typer.Context, batch_id: Id, by: By = "") -> None:
    """End a batch for good; the cases under way go on."""
    _move(context, batch_id, BatchState.CANCELLED, person=by)


@app.command()
def resume(context: typer.Context, batch_id: Id, by: By = "") -> None:
    """Go on with a batch that was paused, or whose process ended; what failed is tried again."""
    appliance = opened(context)
    found = appliance.ledger.batches.batch(batch_id)
    if found.state is BatchState.CANCELLED:
        raise ConfigError("batch-cancelled", "The batch was cancelled; begin another.")
    appliance.ledger.batches.move(found.batch_id, BatchState.OPEN, person=by)
    _drive(appliance, found, limit=appliance.ledger.batches.progress(found.batch_id, _now()).total)


def _now() -> datetime:
    return datetime.now(UTC)


def _move(context: typer.Context, batch_id: str, state: BatchState, *, person: str) -> None:
    batches = ledger_of(context).batches
    found = batches.batch(batch_id)
    batches.move(found.batch_id, state, person=person)
    stdout.print(f"{found.batch_id} is {state}")


def _require_sound(appliance: Appliance, begun: Batch) -> None:
    from clic_edge.pipeline.batch import parse_query  # noqa: PLC0415 - for a fast --help

    if begun.pipeline not in {one.name for one in appliance.pipelines}:
        raise ConfigError("unknown-name", f"There is no pipeline {begun.pipeline}.")
    source = _source(appliance, begun.source)
    parse_query(begun.query, today=datetime.now().astimezone().date(), brings=source.brings)


def _source(appliance: Appliance, name: str) -> StudySource:
    from clic_edge.transports import make_source  # noqa: PLC0415 - loads what a worker needs

    return make_source(name, appliance.settings.destinations, rest=appliance.rest())


def _drive(appliance: Appliance, begun: Batch, *, limit: int) -> None:
    from clic_edge.pipeline.batch import Run, parse_query  # noqa: PLC0415 - for a fast --help

    (pipeline,) = (one for one in appliance.pipelines if one.name == begun.pipeline)
    source = _source(appliance, begun.source)
    today = datetime.now().astimezone().date()
    run = Run(
        batch=begun,
        query=parse_query(begun.query, today=today, brings=source.brings),
        limit=limit,
        pipeline=pipeline,
        source=source,
        archive=appliance.archive(),
        ledger=appliance.ledger,
    )
    stop, told = threading.Event(), Teller()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = run.drive(stop, told.tell)
    stdout.print(_line(appliance.ledger.batches.progress(begun.batch_id, _now())), soft_wrap=True)
    if state is BatchState.OPEN:
        note(f"Go on with `clic-edge batch resume {begun.batch_id}`.")


class Teller:
    """Says how far a batch is, every few seconds."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def tell(self, seen: Progress) -> None:
        """Print a line if the last one is long ago."""
        if _now() - self._last >= timedelta(seconds=_TELL_SECONDS):
            self._last = _now()
            stdout.print(_line(seen), soft_wrap=True)


def _line(seen: Progress) -> str:
    """Return how far a batch is, how fast, and how long that takes at this speed."""
    left = seen.total - seen.over
    since = max(min(_now() - seen.batch.created_at, timedelta(hours=1)), timedelta(seconds=1))
    rate = seen.lately / (since / timedelta(hours=1))
    ends = f"; about {timedelta(hours=round(left / rate, 2))} left" if rate and left else ""
    failed = seen.count(StudyState.FAILED)
    return (
        f"{seen.batch.batch_id} is {seen.batch.state}: {seen.over} of {seen.total} studies, "
        f"{failed} failed, {rate:.0f} an hour{ends}"
    )
