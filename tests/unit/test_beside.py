"""What looks again and again beside something else: it goes on whatever happens, and ends with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import TimeoutError as DatabaseBusy

from clic_edge.beside import beside
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from datetime import datetime


def failed(source: str) -> float:
    return REGISTRY.get_sample_value("clic_edge_looks_failed_total", {"source": source}) or 0.0


@pytest.mark.parametrize(
    "error", [Refusal("odd", "It is odd."), DatabaseBusy("busy"), ZeroDivisionError()]
)
def test_a_look_that_fails_is_counted_and_neither_the_others_nor_the_next_time_miss_by_it(
    error: Exception,
) -> None:
    others, before = threading.Semaphore(0), failed("test")

    def poor(_now: datetime) -> None:
        raise error

    with beside("test", poor, lambda _now: others.release(), every_seconds=0):
        assert all(others.acquire(timeout=30) for _ in range(3))
    assert failed("test") - before >= 3


def test_what_is_in_hand_comes_to_its_end_where_it_should() -> None:
    begun, stop, ended = threading.Event(), threading.Event(), threading.Event()

    def look(_now: datetime) -> None:
        begun.set()
        stop.wait(30)
        ended.set()

    with beside("test", look, every_seconds=60, stop=stop, to_its_end=True):
        assert begun.wait(30)
    assert stop.is_set()
    assert ended.is_set()
    assert "test" not in {one.name for one in threading.enumerate()}
