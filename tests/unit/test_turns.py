"""A destination that hangs takes one place of a worker, and no more."""

from __future__ import annotations

import threading

import pytest

from clic_edge.errors import Transient
from clic_edge.pipeline import turns
from clic_edge.pipeline.turns import Turns


def _fails(of: Turns, name: str) -> None:
    with pytest.raises(Transient), of.turn(name):
        raise Transient("destination-unreachable", "Nothing answers.")


def test_cases_for_other_destinations_do_not_wait() -> None:
    of = Turns()
    with of.turn("slow"), of.turn("steady"):
        pass


def test_an_urgent_case_does_not_wait_behind_one_that_is_not() -> None:
    of = Turns()
    with of.turn("pacs", "background"), of.turn("pacs", "urgent"):
        pass


def test_a_case_waits_for_the_one_before_it_that_leaves_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 600.0)
    of, came = Turns(), threading.Event()

    def second() -> None:
        with of.turn("pacs"):
            came.set()

    thread = threading.Thread(target=second)
    with of.turn("pacs"):
        thread.start()
        assert not came.is_set()
    thread.join()
    assert came.is_set()


def test_nobody_waits_behind_a_case_that_is_there_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.0)
    of = Turns()
    with of.turn("slow"):
        with pytest.raises(Transient) as caught, of.turn("slow"):
            pass
        assert caught.value.code == "destination-busy"
        assert caught.value.retry_after, "it is slow, so the next try comes soon"
    with of.turn("slow"):
        pass


def test_nobody_waits_for_one_that_is_in_trouble_until_it_has_answered_again() -> None:
    of = Turns()
    _fails(of, "away")
    with of.turn("away"):
        with pytest.raises(Transient) as caught, of.turn("away"):
            pass
        assert caught.value.code == "destination-busy"
        assert caught.value.retry_after is None, "ever later, as it is in trouble"
    assert of._ailing == set()


def test_an_error_of_ours_gives_the_turn_back_too() -> None:
    of = Turns()
    with pytest.raises(ZeroDivisionError), of.turn("pacs"):
        _ = 1 / 0
    with of.turn("pacs"):
        pass
