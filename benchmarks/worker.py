"""The worker as it ships, with a clock around each part of its line.

`python worker.py SETTINGS OUT` runs until it is told to stop, and appends one JSON line to OUT
for each part of a stage that ends: the part and its seconds.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from clic_edge import assembly, telemetry
from clic_edge.app import Appliance, serve
from clic_edge.pipeline import stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.inference.runtime import Runtime
    from clic_edge.pipeline.line import Line, ReadyPipeline


_T = TypeVar("_T")


class Clock:
    """Writes down how long each named part took."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def around(self, part: str, function: Callable[..., object]) -> Callable[..., object]:
        """Return the function with a clock around it."""

        @wraps(function)
        def clocked(*args: object, **options: object) -> object:
            begin = time.perf_counter()
            result = function(*args, **options)
            self._tell(part, time.perf_counter() - begin)
            return result

        return clocked

    def _tell(self, part: str, seconds: float) -> None:
        line = {"part": part, "seconds": seconds}
        with self._out.open("a") as out:
            out.write(json.dumps(line) + "\n")


class _Timed:
    def __init__(self, target: object, clock: Clock, parts: dict[str, str]) -> None:
        self._target, self._clock, self._parts = target, clock, parts

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        part = self._parts.get(name)
        return self._clock.around(part, found) if part else found


def timed(target: _T, clock: Clock, **parts: str) -> _T:
    """Return what stands in for `target`, with a clock around the methods named in `parts`."""
    return cast("_T", _Timed(target, clock, parts))


def timed_line(line: Line, clock: Clock) -> Line:
    """Return the line with clocks."""
    for name in ("deidentify", "build_volume", "check"):
        setattr(stages, name, clock.around(name, getattr(stages, name)))
    predictions = timed(line.ledger.predictions, clock, log="log", of_case="read log")
    return replace(
        line,
        archive=timed(line.archive, clock, series="fetch", keep="keep", result="fetch results"),
        ledger=replace(line.ledger, predictions=predictions),
        pipelines=tuple(_timed_pipeline(pipeline, clock) for pipeline in line.pipelines),
    )


def _timed_pipeline(pipeline: ReadyPipeline, clock: Clock) -> ReadyPipeline:
    def runtime() -> Runtime:
        return timed(load(), clock, predict="predict")

    load = pipeline.runtime
    names = pipeline.settings.writers
    return replace(
        pipeline,
        runtime=runtime,
        writers=tuple(
            timed(writer, clock, write=f"write {name}")
            for name, writer in zip(names, pipeline.writers, strict=True)
        ),
        destinations=tuple(
            (name, timed(destination, clock, deliver="deliver"))
            for name, destination in pipeline.destinations
        ),
    )


def main() -> None:
    """Run the worker."""
    settings_path, out = Path(sys.argv[1]), Path(sys.argv[2])
    appliance = Appliance.open(settings_path)
    telemetry.configure_logging("info")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    out.touch()
    build, clock = assembly.build_line, Clock(out)
    assembly.build_line = lambda *args, **options: timed_line(build(*args, **options), clock)
    serve(appliance, stop)


if __name__ == "__main__":
    main()
