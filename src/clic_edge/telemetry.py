"""What the appliance tells of itself: one function for each event, JSON lines and metrics.

Nothing here takes a patient: the functions accept our own names, codes, counts and seconds, and
what other libraries say is reduced to who said it and where, because their texts may quote a
dataset. Until `configure_logging` nothing is written; metrics are counted always.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TextIO, TypedDict, Unpack, get_args

import structlog
from prometheus_client import (
    REGISTRY,
    Counter,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

    from prometheus_client.registry import Collector

Level = Literal["debug", "info", "warning", "error"]
Event = Literal[
    "certificate-ends",
    "worker-started",
    "worker-awaited",
    "worker-replaced",
    "beat-failed",
    "worker-stopped",
    "reconcile-failed",
    "case-moved",
    "stage-finished",
    "prediction-made",
    "challenger-failed",
    "model-moved",
    "receipt",
    "assessed",
    "returned-unread",
    "crosswalks-expired",
    "pruned",
    "sweep-failed",
    "drift-alarm",
    "report-made",
    "watch-failed",
    "look-failed",
    "account-hindered",
    "constancy-ended",
    "constancy-failed",
    "clock-jumped",
    "notices-sent",
    "notice-failed",
    "notices-given-up",
    "foreign-log",
    "foreign-warning",
    "uncaught-error",
]


class Fields(TypedDict, total=False):
    """All that a line may hold beside event, level and time."""

    case_id: str
    pipeline: str
    state: str
    code: str
    stage: str
    seconds: float
    model: str
    device: str
    destination: str
    accepted: bool
    source: str
    count: int
    logger: str
    severity: str
    category: str
    chart: str
    channel: str
    error: str
    place: str


DROPPED: Final = "[dropped]"
EVENTS: Final = frozenset(get_args(Event))
KEYS: Final = frozenset({*Fields.__annotations__, "level", "timestamp"})
_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

CASES: Final = Counter(
    "clic_edge_cases", "Cases by the state they came to, and why.", ["pipeline", "state", "code"]
)
STAGE_SECONDS: Final = Histogram(
    "clic_edge_stage_seconds", "Wall time of a stage.", ["pipeline", "stage"], buckets=_BUCKETS
)
PREDICTIONS: Final = Counter(
    "clic_edge_predictions", "Predictions made.", ["pipeline", "model", "device"]
)
CONSTANCY: Final = Counter(
    "clic_edge_constancy_runs", "Constancy runs, by what they found.", ["pipeline", "verdict"]
)
ASSESSMENTS: Final = Counter(
    "clic_edge_assessments", "What readers said of results, by the way it came.", ["source"]
)
LOOKS_FAILED: Final = Counter(
    "clic_edge_looks_failed", "Looks that failed, by what looks beside worker or pages.", ["source"]
)
RECEIPTS: Final = Counter(
    "clic_edge_receipts", "Answers of a destination.", ["destination", "result"]
)


def certificate_ends(*, days: int) -> None:
    """Say that the certificate of the pages ends in some days."""
    _tell("certificate-ends", "warning", count=days)


def worker_started() -> None:
    """Say that the worker takes cases from now on."""
    _tell("worker-started")


def worker_awaited() -> None:
    """Say that a worker of the same name may still run, and is watched before this one starts."""
    _tell("worker-awaited", "warning")


def worker_replaced(*, cases: int) -> None:
    """Say that a worker fell silent and its cases were taken over."""
    _tell("worker-replaced", "warning", count=cases)


def beat_failed(*, code: str) -> None:
    """Say that this worker could not say that it is alive; it tries again at its next beat."""
    _tell("beat-failed", "warning", code=code)


def worker_stopped() -> None:
    """Say that the worker has ended in good order."""
    _tell("worker-stopped")


def reconcile_failed(*, code: str) -> None:
    """Say that the archive's changes could not be read; they are asked for again later."""
    _tell("reconcile-failed", "warning", code=code)


def crosswalks_expired(*, count: int) -> None:
    """Say how many sealed ways back were deleted, their day having passed."""
    _tell("crosswalks-expired", count=count)


def pruned(*, count: int) -> None:
    """Say how many rows went by the site's policy; the audit trail says which."""
    _tell("pruned", count=count)


def sweep_failed(*, code: str) -> None:
    """Say that not everything could be deleted whose day has passed; it is tried again later."""
    _tell("sweep-failed", "warning", code=code)


def case_moved(*, case_id: str, pipeline: str, state: str, code: str = "") -> None:
    """Say that a case came to a state."""
    CASES.labels(pipeline=pipeline, state=state, code=code).inc()
    level: Level = "error" if state == "quarantined" else "info"
    _tell("case-moved", level, case_id=case_id, pipeline=pipeline, state=state, code=code)


def stage_finished(*, case_id: str, pipeline: str, stage: str, seconds: float) -> None:
    """Say how long a stage of a case took."""
    STAGE_SECONDS.labels(pipeline=pipeline, stage=stage).observe(seconds)
    seconds = round(seconds, 3)
    _tell("stage-finished", case_id=case_id, pipeline=pipeline, stage=stage, seconds=seconds)


def prediction_made(*, case_id: str, pipeline: str, model: str, device: str) -> None:
    """Say which model looked at a case; `model` is its identifier and version."""
    PREDICTIONS.labels(pipeline=pipeline, model=model, device=device).inc()
    _tell("prediction-made", case_id=case_id, pipeline=pipeline, model=model, device=device)


def challenger_failed(*, case_id: str, code: str) -> None:
    """Say that a model in the shadow of another found nothing to say, or broke."""
    _tell("challenger-failed", "warning", case_id=case_id, code=code)


def model_moved(*, pipeline: str, model: str, state: str) -> None:
    """Say that a model came to a state in a pipeline; `model` is its identifier and version."""
    _tell("model-moved", "warning", pipeline=pipeline, model=model, state=state)


def report_made(*, model: str) -> None:
    """Say that a model's report of the last month lies on the shelf."""
    _tell("report-made", model=model)


def drift_alarm(*, model: str, chart: str, severity: str) -> None:
    """Say that a chart of a model opened an alarm."""
    level: Level = "info" if severity == "advisory" else "warning"
    _tell("drift-alarm", level, model=model, chart=chart, severity=severity)


def account_hindered(*, destination: str, code: str) -> None:
    """Say what kept an account from comparing a place, or from being made."""
    _tell("account-hindered", "warning", destination=destination, code=code)


def clock_jumped(*, seconds: float) -> None:
    """Say that the wall clock was moved by ten minutes or more at once; nothing expires for a day."""
    _tell("clock-jumped", "error", seconds=round(seconds))


def watch_failed(*, code: str) -> None:
    """Say that the models could not be watched this time; it is tried again later."""
    _tell("watch-failed", "warning", code=code)


def look_failed(*, source: str, code: str, error: str) -> None:
    """Say that something beside the worker or the pages failed this time; it looks again."""
    LOOKS_FAILED.labels(source=source).inc()
    _tell("look-failed", "warning", source=source, code=code, error=error)


def notices_sent(*, channel: str, count: int) -> None:
    """Say that notices went out by a channel."""
    _tell("notices-sent", channel=channel, count=count)


def notice_failed(*, channel: str, code: str) -> None:
    """Say that notices did not go out; they are tried again."""
    _tell("notice-failed", "warning", channel=channel, code=code)


def notices_given_up(*, channel: str, count: int) -> None:
    """Say that notices are tried no more."""
    _tell("notices-given-up", "error", channel=channel, count=count)


def constancy_ended(*, pipeline: str, state: str) -> None:
    """Say how a constancy run of a pipeline ended."""
    CONSTANCY.labels(pipeline=pipeline, verdict=state).inc()
    level: Level = "info" if state == "passed" else "error"
    _tell("constancy-ended", level, pipeline=pipeline, state=state)


def constancy_failed(*, code: str) -> None:
    """Say that a constancy run did not come to its end, or what it left could not be removed."""
    _tell("constancy-failed", "warning", code=code)


def receipt_came(*, case_id: str, destination: str, accepted: bool) -> None:
    """Say what a destination answered for one result object."""
    RECEIPTS.labels(destination=destination, result="accepted" if accepted else "rejected").inc()
    level: Level = "info" if accepted else "warning"
    _tell("receipt", level, case_id=case_id, destination=destination, accepted=accepted)


def assessed(*, case_id: str, source: str) -> None:
    """Say that a reader's word on a case came; not which, and not whose."""
    ASSESSMENTS.labels(source=source).inc()
    _tell("assessed", case_id=case_id, source=source)


def returned_unread(*, case_id: str, code: str) -> None:
    """Say that an object which came back to a case could not be used."""
    _tell("returned-unread", "warning", case_id=case_id, code=code)


def serve_metrics(port: int, *collectors: Collector) -> None:
    """Serve /metrics on 127.0.0.1 from a thread that ends with the process.

    What is counted here is in it, and what the collectors say when they are asked.

    Raises
    ------
    ConfigError
        ``port-in-use``.

    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it so
    for one in collectors:
        REGISTRY.register(one)
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        sentence = f"'worker.metrics_port': port {port} can't be opened: {error.strerror}."
        raise ConfigError("port-in-use", sentence) from error


def configure_logging(level: Level = "info", stream: TextIO | None = None) -> None:
    """Write events from `level` up as JSON lines to `stream` (default stderr).

    Log records, warnings and uncaught errors of other libraries become events without their text.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_known,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
    )
    _take_over_logging()
    warnings.showwarning = _tell_warning
    sys.excepthook = _tell_uncaught
    threading.excepthook = lambda hook: _tell_uncaught(
        hook.exc_type, hook.exc_value, hook.exc_traceback
    )
    sys.unraisablehook = lambda hook: _tell_uncaught(
        hook.exc_type, hook.exc_value, hook.exc_traceback
    )


def place_of(trace: TracebackType | None) -> str:
    """Return file and line where an error was raised: all of it that is safe to tell."""
    frames = traceback.extract_tb(trace)
    return _place(frames[-1].filename, frames[-1].lineno) if frames else ""


def _tell(event: Event, level: Level = "info", **fields: Unpack[Fields]) -> None:
    if structlog.is_configured():
        structlog.get_logger().log(logging.getLevelNamesMapping()[level.upper()], event, **fields)


def _only_known(
    _logger: object, _method: str, line: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Keep what is in the vocabulary: the last gate, should someone log past the functions."""
    known = {
        key: value if isinstance(value, str | int | float) else DROPPED
        for key, value in line.items()
        if key in KEYS
    }
    event = line["event"] if line["event"] in EVENTS else DROPPED
    return {"event": event, **known}


class _Reduced(logging.Handler):
    """Tells that a library logged something, never what: it may have quoted a dataset."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(
            "foreign-log",
            "error" if record.levelno >= logging.ERROR else "warning",
            logger=record.name,
            severity=record.levelname,
            place=_place(record.pathname, record.lineno),
            error=record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "",
        )


def _take_over_logging() -> None:
    """Let every logger's records pass through `_Reduced` alone."""
    handler = _Reduced(logging.WARNING)
    # DBOS writes to the console, texts and all, unless its logger has a handler already.
    logging.getLogger("dbos").propagate = False
    for name in (None, "dbos", *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name in {None, "dbos"} else []
    logging.root.setLevel(logging.WARNING)
    # A record that can't be formatted would be printed with its arguments.
    logging.raiseExceptions = False


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line  # pydicom's warnings quote values
    place = _place(filename, lineno)
    _tell("foreign-warning", "warning", category=category.__name__, place=place)


def _tell_uncaught(
    kind: type[BaseException], _error: BaseException | None, trace: TracebackType | None
) -> None:
    _tell("uncaught-error", "error", error=kind.__name__, place=place_of(trace))


def _place(filename: str, lineno: int | None) -> str:
    """Return package/module.py:line, without the folders that the package lies in."""
    return f"{'/'.join(Path(filename).parts[-2:])}:{lineno}"
