"""The process in which a package is measured: `footprint.measure_package` starts it.

``python -m clic_edge.inference.probe FOLDER BYTES TRUSTED PROVIDER…`` writes a line of JSON for
each sample. Servers are not asked: their memory is not this machine's.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge.errors import ClicEdgeError, Transient
from clic_edge.inference.declaration import read_declaration
from clic_edge.inference.footprint import NOT_TAKEN, OUT_OF_MEMORY, Sample, size_of
from clic_edge.inference.limits import Adjustable, Limits
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.made_up import made_up
from clic_edge.inference.memory import cuda_free
from clic_edge.inference.package import DECLARATION
from clic_edge.inference.site import Site

if TYPE_CHECKING:
    from clic_edge.domain.image import Image
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.runtime import Runtime

_PROC = Path("/proc")
_KIB = 1024


def main(folder: Path, limit: int, site: Site) -> None:
    """Write one sample after the other, the thriftiest first."""
    (_PROC / "self" / "oom_score_adj").write_text("1000")
    allowed = _own("VmData") + limit
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    declared = read_declaration(folder / DECLARATION)
    whole = declared.windows.batch if declared.windows else 0
    for batch in dict.fromkeys((min(whole, 1), whole)):
        for seen in made_up(declared):
            sample = _sample(load_runtime(folder, site), declared, seen=seen, batch=batch)
            sys.stdout.write(sample.model_dump_json() + "\n")
            sys.stdout.flush()
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # gives back what this sample has left


def _sample(
    runtime: Runtime, declared: Declaration, *, seen: Volume | Image | Slide, batch: int
) -> Sample:
    if batch and isinstance(runtime, Adjustable):
        runtime = runtime.within(Limits(batch=batch))
    on_host = runtime.device != "cuda"
    for one in _family():
        (_PROC / str(one) / "clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before, ended = _of_all("VmRSS") if on_host else cuda_free(), _seconds_of_ended()
    begin = time.perf_counter()
    runtime.predict(seen)
    seconds = time.perf_counter() - begin
    taken = _of_all("VmHWM") - before if on_host else before - cuda_free()
    if on_host and _seconds_of_ended() > ended:  # a process that came and went ran the network
        taken += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _KIB
    return Sample(
        device=runtime.device,
        batch=batch,
        voxels=size_of(seen, declared),
        peak_bytes=max(0, taken),
        seconds=seconds,
    )


def _seconds_of_ended() -> float:
    """Return the processor time of those processes that have ended; more where one just did."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own(name: str) -> int:
    return _status(_PROC / "self", name)


def _of_all(name: str) -> int:
    """Return the bytes of this process and of those that it started, which may run the network."""
    return sum(_status(_PROC / str(one), name) for one in _family())


def _family() -> list[int]:
    """Return this process and those that it started, and so on."""
    parents = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            parents[int(folder.name)] = _status(folder, "PPid") // _KIB
        except OSError:
            continue  # it has ended meanwhile
    family = [os.getpid()]
    for one in family:
        family += [child for child, parent in parents.items() if parent == one]
    return family


def _status(process: Path, name: str) -> int:
    """Return a number of a process in bytes, as the kernel writes them in kB; 0 of a dead one."""
    for line in (process / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * _KIB
    return 0


if __name__ == "__main__":
    try:
        _, package, most, trusted, *providers = sys.argv
        main(Path(package), int(most), Site(trusted=bool(int(trusted)), providers=tuple(providers)))
    except (MemoryError, Transient):
        sys.exit(OUT_OF_MEMORY)
    except ClicEdgeError as problem:
        sys.exit(OUT_OF_MEMORY if problem.code == "runtime-memory" else NOT_TAKEN)
