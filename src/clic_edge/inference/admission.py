"""May this case be run now? What it needs, held against the memory that is free."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.errors import Defect, Transient
from clic_edge.inference.footprint import read_note, size_of
from clic_edge.inference.limits import Adjustable, Clock, Limits, memory_short
from clic_edge.inference.memory import room_of
from clic_edge.inference.package import load_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clic_edge.domain.image import Image, InputKind
    from clic_edge.domain.prediction import ModelIdentity, Prediction
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.footprint import Footprint
    from clic_edge.inference.memory import Room
    from clic_edge.inference.runtime import Runtime


class Admission:
    """The memory of the devices, shared by every model of the worker, and how long one may take."""

    def __init__(
        self, *, seconds: float = 0, room_of: Callable[[str], Room | None] = room_of
    ) -> None:
        """Give the `seconds` that a model may take on one volume or image; 0 for any."""
        self.seconds = seconds
        self._room_of = room_of
        self._rooms: dict[str, Room | None] = {}
        self._lock = threading.Lock()

    def room(self, device: str) -> Room | None:
        """Return the room of a device, the same for everybody; None where nobody can tell."""
        with self._lock:
            if device not in self._rooms:
                self._rooms[device] = self._room_of(device)
            return self._rooms[device]

    def over(self, runtime: Runtime, folder: Path) -> Admitted:
        """Return a runtime of the package in `folder` that asks before it runs."""
        package = load_package(folder)
        return Admitted(
            runtime,
            declared=package.declaration,
            footprints=read_note(folder, package.digest),
            admission=self,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to run a case."""

    device: str
    batch: int
    """0 for as the package declares."""
    needed: int
    """Bytes; 0 where nothing was measured."""


class Admitted:
    """A runtime whose cases wait until the memory that they need is free.

    Where it is not, the case runs with fewer windows at a time, or on the CPU, if that fits.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        declared: Declaration,
        footprints: tuple[Footprint, ...],
        admission: Admission,
    ) -> None:
        self._runtime = runtime
        self._declared = declared
        self._footprints = footprints
        self._admission = admission

    @property
    def model(self) -> ModelIdentity:
        """Which model this is."""
        return self._runtime.model

    @property
    def takes(self) -> InputKind:
        """Whether it looks at volumes, images or slides."""
        return self._runtime.takes

    @property
    def needs(self) -> frozenset[str]:
        """The fields of `Acquisition` that the package declares."""
        return self._runtime.needs

    @property
    def device(self) -> str:
        """Where it runs, unless memory is short there."""
        return self._runtime.device

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says.

        Raises
        ------
        Transient
            ``memory-short``: it may fit later.
        Defect
            ``memory-too-small``: it never fits on this machine; ``prediction-too-slow``.

        """
        ways = list(self._ways(size_of(seen, self._declared)))
        for way in ways:
            room = self._admission.room(way.device)
            with room.promised(way.needed) if room else nullcontext(True) as had:  # noqa: FBT003 - an answer
                if not had:
                    continue
                try:
                    return self._within(way).predict(seen)
                except MemoryError:
                    continue
                except Transient as error:
                    if error.code != memory_short().code:
                        raise
        raise self._short(ways)

    def _ways(self, voxels: int) -> Iterator[_Way]:
        """Yield the ways to run a case of this size, the fastest first."""
        device = self._runtime.device
        for place in dict.fromkeys((device, "cpu") if device == "cuda" else (device,)):
            measured = [one for one in self._footprints if one.device == place]
            for one in measured:
                yield _Way(device=place, batch=one.batch, needed=one.needed(voxels))
            if not measured:
                yield _Way(device=place, batch=0, needed=0)
                yield _Way(device=place, batch=1, needed=0)

    def _within(self, way: _Way) -> Runtime:
        if not isinstance(self._runtime, Adjustable):
            return self._runtime
        clock = Clock(self._admission.seconds)
        return self._runtime.within(Limits(batch=way.batch or None, device=way.device, clock=clock))

    def _short(self, ways: list[_Way]) -> Transient | Defect:
        way = min(ways, key=lambda one: one.needed)
        room = self._admission.room(way.device)
        if room is None or not way.needed:
            return memory_short()
        needed, free, total = (size / 1e9 for size in (way.needed, room.free, room.total))
        if way.needed > room.total:
            return Defect(
                "memory-too-small",
                f"The model needs {needed:.2f} GB of memory for images of this size, and this "
                f"machine has {total:.2f} GB.",
            )
        return Transient(
            "memory-short",
            f"The model needs {needed:.2f} GB of memory for images of this size, and {free:.2f} GB "
            "are free; the case waits.",
        )
