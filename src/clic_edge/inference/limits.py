"""Within what a prediction is to stay, and how one that does not is ended."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, runtime_checkable

from clic_edge.errors import Defect, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator


_AGAIN_SECONDS = 0.1


def memory_short() -> Transient:
    """Return what a network raises that could not get the memory that it asked for."""
    return Transient("memory-short", "The model could not get the memory that it needs.")


@runtime_checkable
class Interruptible(Protocol):
    """A network whose pass can be ended from another thread."""

    def interrupt(self) -> None:
        """Let the pass that is under way fail soon; nothing where there is none."""
        ...


class Clock:
    """Says when one prediction has taken too long, and ends the pass that is under way then."""

    def __init__(self, seconds: float) -> None:
        """Give `seconds`; 0 for as many as it takes."""
        self._seconds = seconds
        self._expired = threading.Event()
        self._ended = threading.Event()

    @contextmanager
    def running(self, network: object) -> Iterator[None]:
        """Count while the context lasts.

        Raises Defect ``prediction-too-slow`` in the place of what an interrupted pass raised.
        """
        if not self._seconds:
            yield
            return
        watch = threading.Thread(target=self._watch, args=(network,), daemon=True)
        watch.start()
        try:
            yield
        except Defect as error:
            if self._expired.is_set():
                raise self._too_slow() from error
            raise
        finally:
            self._ended.set()
            watch.join()  # lest it ends a pass of the next case

    def check(self) -> None:
        """Return while there is time. Raises Defect ``prediction-too-slow``."""
        if self._expired.is_set():
            raise self._too_slow()

    def _watch(self, network: object) -> None:
        if self._ended.wait(self._seconds):
            return
        self._expired.set()
        # Again and again, lest a pass that begins at this moment is missed.
        while isinstance(network, Interruptible):
            network.interrupt()
            if self._ended.wait(_AGAIN_SECONDS):
                return

    def _too_slow(self) -> Defect:
        return Defect(
            "prediction-too-slow",
            f"The model took longer than the {self._seconds:g} seconds that it may take, and was "
            "ended.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Within what one prediction is to stay."""

    batch: int | None = None
    """Windows in one pass; None for as many as the package declares."""
    device: str | None = None
    """``cpu`` for a network that would run elsewhere; None for where it is."""
    clock: Clock = field(default_factory=lambda: Clock(0))


@runtime_checkable
class Adjustable(Protocol):
    """What can run within limits: a runtime, or a part of one."""

    def within(self, limits: Limits) -> Self:
        """Return the same, sharing what is loaded, that stays within the limits."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A network that can run elsewhere too."""

    def on(self, device: str) -> Self:
        """Return the same network on a device, e.g. ``cpu``; itself where it is there."""
        ...


_T = TypeVar("_T")


def on_device(network: _T, device: str | None) -> _T:
    """Return a network on a device; as it is where it can't move, or nobody asks."""
    return network.on(device) if device and isinstance(network, Movable) else network
