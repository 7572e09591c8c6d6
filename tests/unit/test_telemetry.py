"""Telemetry: what is told, and that what others say is not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import urllib.request

import pytest
from prometheus_client import REGISTRY

from clic_edge import telemetry
from clic_edge.errors import ConfigError

CANARY = "Kanariefugl^Gulnæb"


def lines_of(program: str) -> list[dict[str, object]]:
    """Run a program that logs, and return its lines; the hooks belong to the whole process."""
    preamble = (
        "import sys, logging, warnings, threading, structlog\nfrom clic_edge import telemetry\n"
    )
    body = textwrap.dedent(program).replace("CANARY", CANARY)
    done = subprocess.run(
        [sys.executable, "-c", preamble + body],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONUTF8": "1"},
    )
    assert done.stdout == ""
    assert CANARY not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def told(program: str) -> list[dict[str, object]]:
    lines = lines_of(f"telemetry.configure_logging()\n{textwrap.dedent(program)}")
    assert all(line.pop("timestamp") for line in lines)
    return lines


def test_an_event_is_a_json_line() -> None:
    program = 'telemetry.case_moved(case_id="c1", pipeline="p", state="quarantined", code="x")'
    assert told(program) == [
        {
            "event": "case-moved",
            "level": "error",
            "case_id": "c1",
            "pipeline": "p",
            "state": "quarantined",
            "code": "x",
        },
    ]


def test_nothing_is_written_until_logging_is_configured() -> None:
    assert lines_of("telemetry.worker_started()") == []


def test_events_below_the_level_are_not_written() -> None:
    program = 'telemetry.configure_logging("warning")\ntelemetry.worker_started()'
    assert lines_of(program) == []


def test_what_is_not_in_the_vocabulary_is_dropped() -> None:
    program = """
    log = structlog.get_logger()
    log.info("patient CANARY", patient="CANARY", code=["CANARY"], stage="write")
    """
    assert told(program) == [
        {"event": "[dropped]", "level": "info", "code": "[dropped]", "stage": "write"},
    ]


@pytest.mark.slow
def test_other_libraries_log_records_lose_their_text() -> None:
    program = """
    early = logging.getLogger("pydicom")
    import dbos, pydicom, pynetdicom
    dbos._logger.init_logger()
    for name in ("pydicom", "pynetdicom.assoc", "dbos", "sqlalchemy.engine", "made.later"):
        log = logging.getLogger(name)
        log.info("CANARY")
        log.warning("about %s", "CANARY")
    try:
        raise ValueError("CANARY")
    except ValueError:
        log.exception("CANARY")
    """
    lines = told(program)
    assert {line["event"] for line in lines} == {"foreign-log"}
    assert [(line["logger"], line["severity"], line["error"]) for line in lines] == [
        ("pydicom", "WARNING", ""),
        ("pynetdicom.assoc", "WARNING", ""),
        ("dbos", "WARNING", ""),
        ("sqlalchemy.engine", "WARNING", ""),
        ("made.later", "WARNING", ""),
        ("made.later", "ERROR", "ValueError"),
    ]


def test_a_logger_that_had_a_handler_of_its_own_is_taken_over() -> None:
    program = """
    log = logging.getLogger("chatty")
    log.addHandler(logging.StreamHandler())
    telemetry.configure_logging()
    log.error("CANARY")
    log.error("%d", "CANARY")
    """
    assert [line["logger"] for line in lines_of(program)] == ["chatty", "chatty"]


def test_warnings_lose_their_text() -> None:
    program = """
    import pydicom
    ds = pydicom.Dataset()
    ds.Modality = "CANARY"
    warnings.warn("CANARY", UserWarning, stacklevel=1)
    """
    # pydicom also tells its logger.
    lines = [line for line in told(program) if line["event"] != "foreign-log"]
    told_by = [
        (line["event"], line["category"], str(line["place"]).partition("/")[0]) for line in lines
    ]
    assert told_by == [
        ("foreign-warning", "UserWarning", "pydicom"),
        ("foreign-warning", "UserWarning", "<string>:8"),
    ]


def test_an_uncaught_error_is_told_by_type_and_place() -> None:
    program = """
    def fails():
        raise ValueError("CANARY")
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    fails()
    """
    lines = told(program)
    assert [(line["event"], line["error"]) for line in lines] == [
        ("uncaught-error", "ValueError"),
        ("uncaught-error", "ValueError"),
    ]


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_cases_stages_predictions_and_receipts_are_counted() -> None:
    telemetry.case_moved(case_id="c", pipeline="t", state="refused", code="gap")
    telemetry.stage_finished(case_id="c", pipeline="t", stage="write", seconds=2.0)
    telemetry.prediction_made(case_id="c", pipeline="t", model="m 1", device="cpu")
    telemetry.receipt_came(case_id="c", destination="pacs", accepted=False)
    assert sample("clic_edge_cases_total", pipeline="t", state="refused", code="gap") == 1
    assert sample("clic_edge_stage_seconds_sum", pipeline="t", stage="write") == 2.0
    assert sample("clic_edge_predictions_total", pipeline="t", model="m 1", device="cpu") == 1
    assert sample("clic_edge_receipts_total", destination="pacs", result="rejected") == 1


def test_metrics_are_served_on_loopback_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    telemetry.serve_metrics(port)
    telemetry.receipt_came(case_id="c", destination="served", accepted=True)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        told = b'clic_edge_receipts_total{destination="served",result="accepted"} 1.0'
        assert told in answer.read()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=1)
    with pytest.raises(ConfigError, match=str(port)):
        telemetry.serve_metrics(port)
