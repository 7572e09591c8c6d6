"""What a package takes of memory and time on this machine: measured once, kept beside its files.

``measured.json`` is the site's own note. No digest covers it and it is not carried along; it is
for the digest that it names, so another version is measured anew.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.domain.slide import Slide
from clic_edge.domain.volume import Volume
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.memory import host_free, host_total
from clic_edge.inference.site import HERE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clic_edge.domain.image import Image
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.site import Site

NOTE = "measured.json"
_MARGIN = 1.15
"""What was measured once may be a little more another time."""
_SPARE = 64 << 20
"""Bytes that are left to the rest of the machine while a package is measured."""
_SECONDS = 600
OUT_OF_MEMORY = 77
NOT_TAKEN = 78
"""How the process that measures ends: it had not enough memory; the package took no noise."""


class Sample(BaseModel):
    """One run of the network in a process of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    batch: int
    """Windows in one pass; 0 where the package has no windows."""
    voxels: int
    """As `size_of` counts."""
    peak_bytes: int
    """More than the process held with the network loaded."""
    seconds: float


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory and time on one device with one size of batch, linear in voxels."""

    device: str
    batch: int
    bytes_at_least: float
    bytes_per_voxel: float
    seconds_at_least: float
    seconds_per_voxel: float

    def needed(self, voxels: int) -> int:
        """Return how many bytes a prediction takes, with some to spare."""
        return int(_MARGIN * (self.bytes_at_least + self.bytes_per_voxel * voxels))

    def seconds(self, voxels: int) -> float:
        """Return how long a prediction takes, on a machine that has nothing else to do."""
        return self.seconds_at_least + self.seconds_per_voxel * voxels


def size_of(seen: Volume | Image | Slide, declared: Declaration) -> int:
    """Return the voxels that memory grows with: the volume's own, or those of the network's grid.

    Whichever are more. Of an image, its pixels; of a slide, those that tissue is looked for in: of
    its finest level there is never more than a batch of tiles.
    """
    if isinstance(seen, Slide):
        matrix, afar = seen.levels[0].matrix, declared.slides.tissue.spacing_mm
        extents = zip((matrix.rows, matrix.columns), matrix.spacing_mm, strict=True)
        return math.prod(math.ceil(pixels * step / afar) for pixels, step in extents)
    if not isinstance(seen, Volume):
        return math.prod(seen.geometry.shape)
    own = math.prod(seen.geometry.shape)
    step = math.prod(declared.input.spacing_mm)
    return max(own, math.ceil(own * seen.geometry.voxel_volume_mm3 / step))


def footprints(samples: Iterable[Sample]) -> tuple[Footprint, ...]:
    """Return a line through the samples of each device and batch, the largest batch first."""
    given = sorted(samples, key=lambda one: (one.device, -one.batch, one.voxels))
    kinds = dict.fromkeys((one.device, one.batch) for one in given)
    return tuple(_line([one for one in given if (one.device, one.batch) == kind]) for kind in kinds)


def _line(samples: list[Sample]) -> Footprint:
    """Return the line from the smallest sample to the largest; it never falls."""
    least, most = samples[0], samples[-1]
    more = most.voxels - least.voxels
    per_byte = max(0.0, (most.peak_bytes - least.peak_bytes) / more) if more else 0.0
    per_second = max(0.0, (most.seconds - least.seconds) / more) if more else 0.0
    return Footprint(
        device=least.device,
        batch=least.batch,
        bytes_at_least=max(0.0, least.peak_bytes - per_byte * least.voxels),
        bytes_per_voxel=per_byte,
        seconds_at_least=max(0.0, least.seconds - per_second * least.voxels),
        seconds_per_voxel=per_second,
    )


def measure_package(
    folder: Path, site: Site = HERE, *, limit: int | None = None
) -> tuple[Sample, ...]:
    """Return what the package takes, run with made-up images in a fresh process.

    The process may take `limit` bytes, by default what is free, and is the first to be ended
    should the machine run out. Nothing is returned of a package that takes no made-up images.

    Raises
    ------
    ConfigError
        ``model-too-large``: the smallest image that it declares can't be run here.
    Defect
        ``measuring-failed``: the package brought the process down.

    """
    free = max(0, (host_free() if limit is None else limit) - _SPARE)
    words = (sys.executable, "-m", "clic_edge.inference.probe", str(folder), str(free))
    granted = (str(int(site.trusted)), *site.providers)
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            (*words, *granted), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ()  # so slow that nobody waits for it; cases are ended by their own clock
    samples = tuple(Sample.model_validate_json(line) for line in done.stdout.splitlines())
    if not samples and done.returncode in {OUT_OF_MEMORY, -signal.SIGKILL}:
        raise ConfigError(
            "model-too-large",
            f"The smallest image that the package takes needs more than the {free / 1e9:.1f} GB of "
            f"memory that it may have here; {host_total() / 1e9:.1f} GB exist.",
        )
    if done.returncode not in {0, OUT_OF_MEMORY, NOT_TAKEN, -signal.SIGKILL}:
        raise Defect(
            "measuring-failed",
            f"The process in which the package was measured ended with status {done.returncode}.",
        )
    return samples


def write_note(folder: Path, digest: str, samples: tuple[Sample, ...]) -> None:
    """Keep what was measured beside the package."""
    note = _Note(digest=digest, samples=samples)
    (folder / NOTE).write_text(note.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_note(folder: Path, digest: str) -> tuple[Footprint, ...]:
    """Return what was measured of a package; nothing where it was not, or was another one."""
    try:
        note = _Note.model_validate_json((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return ()
    return footprints(note.samples) if note.digest == digest else ()
