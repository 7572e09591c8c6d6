"""Segmentations as dcmqi and DCMTK read them: neither shares code with what wrote them.

Both run in processes of their own, so that a crash is theirs. What they read is handed over in
memory, and dcmqi's answer lies in memory too where the machine has a folder for that: it holds
labels and their place, and nothing of the patient.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import FOREIGN, translated
from clic_edge.errors import ConfigError, Defect, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

MEMORY = Path("/dev/shm")  # noqa: S108 - private folders are made in it
TIMEOUT_SECONDS = 300.0
"""104 organs on 300 slices of 512 x 512 take four seconds."""
_LITTLE_ROOM = 1 << 20
"""Bytes; who fails where less is free has had no room."""

POSITION = re.compile(rb"\(0020,0032\) DS \[([^\]]*)\]")
LARGEST_FRACTION = re.compile(rb"\(0062,000e\) US (\d+)")
PGM = re.compile(rb"P5\s(\d+)\s(\d+)\s255\s")
"""Before the pixels of a grey picture: columns and rows."""
VOXELS: Mapping[str, np.dtype[np.integer]] = {
    "unsigned char": np.dtype("u1"),
    "short": np.dtype("<i2"),
    "unsigned short": np.dtype("<u2"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVolume:
    """One grid that dcmqi assembled from frames, as an NRRD file."""

    path: Path
    begin: int
    """Offset of the compressed voxels."""
    voxel_type: np.dtype[np.integer]
    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    affine: NDArray[np.float64]
    """Shape (4, 4): (slice, row, column, 1) to patient millimetres in LPS."""

    @property
    def number(self) -> int:
        """The Segment Number, where each segment has a file of its own."""
        return int(self.path.stem)

    def slices(self) -> Iterator[NDArray[np.integer]]:
        """Yield each slice, shape (rows, columns)."""
        _, rows, columns = self.shape
        with self.path.open("rb") as file:
            file.seek(self.begin)
            with gzip.GzipFile(fileobj=file) as voxels:
                for _ in range(self.shape[0]):
                    plane = voxels.read(rows * columns * self.voxel_type.itemsize)
                    yield np.frombuffer(plane, self.voxel_type).reshape(rows, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What a segmentation holds, as others read it."""

    segments: Mapping[int, str]
    """Tracking UID of each Segment Number."""
    volumes: tuple[LabelVolume, ...]
    """Segment Numbers as voxels, or the values of one segment each."""
    positions: NDArray[np.float64]
    """Shape (n, 3): each Image Position (Patient) (0020,0032) once, in mm."""
    largest_fraction: int | None
    """Maximum Fractional Value (0062,000E)."""


@contextmanager
def reread(content: bytes, copy: bytes, *, merged: bool) -> Iterator[Reread]:
    """Yield where DCMTK finds the planes of `content`, and the volumes that dcmqi makes of `copy`.

    `copy` is the same segmentation, or one that dcmqi can read. Volumes exist within the context.
    With `merged`, segments that don't overlap come in one volume, whose voxels are Segment
    Numbers.

    Raises
    ------
    ConfigError
        ``geometry-reader-missing``: dcmqi or DCMTK isn't installed.
    Transient
        ``geometry-reader-stopped``: time or memory ran out, or room for dcmqi's answer.
    Defect
        ``geometry-unproved``: they can't read it, or crashed over it.

    """
    memory = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    with _needing_room(memory), ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        source = stack.enter_context(_in_memory(content))
        readable = source if copy is content else stack.enter_context(_in_memory(copy))
        answer = ["--outputDirectory", name, "-t", "nrrd"]
        options = ["--mergeSegments"] if merged else []
        readable.read_by(_segimage2itkimage(), "--inputDICOM", readable.path, *answer, *options)
        asked = ["-q", "+L", "+P", "0020,0032", "+P", "0062,000e"]
        attributes = source.read_by(_dcmdump(), *asked, source.path)
        with translated("geometry-unproved", "dcmqi or DCMTK answers in an unknown form."):
            found = _reread(Path(name), attributes)
        yield found


def shown(content: bytes, frame: int, *, largest: int) -> NDArray[np.uint8]:
    """Return a frame, from 1, as DCMTK shows it: from 0, and 255 for the `largest` value.

    Raises as `reread`.
    """
    window = ("+Ww", str((largest + 1) / 2), str(largest + 1))  # PS3.3 C.11.2.1.2.1
    asked = (*window, "--write-raw-pnm", "+F", str(frame))
    with _in_memory(content) as source:
        image = source.read_by(_dcmtk("dcm2pnm"), *asked, source.path, "/dev/stdout")
    with translated("geometry-unproved", "DCMTK answers in an unknown form."):
        header = PGM.match(image)
        if header is None:
            raise ValueError("no PGM")
        columns, rows = (int(one) for one in header.groups())
        return np.frombuffer(image, np.uint8, offset=header.end()).reshape(rows, columns)


def require_readers() -> None:
    """Return when dcmqi and DCMTK are installed; raises ConfigError as `reread`."""
    _segimage2itkimage()
    _dcmdump()
    _dcmtk("dcm2pnm")


def _segimage2itkimage() -> str:
    try:
        path = Path(str(distribution("dcmqi").locate_file("dcmqi/bin/segimage2itkimage")))
    except PackageNotFoundError as error:
        raise _missing("dcmqi", "pip install dcmqi") from error
    if not os.access(path, os.X_OK):
        raise _missing("dcmqi", "pip install dcmqi")
    return str(path)


def _dcmdump() -> str:
    return _dcmtk("dcmdump")


def _dcmtk(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise _missing(program, "apt-get install dcmtk")
    return path


def _missing(program: str, remedy: str) -> ConfigError:
    return ConfigError(
        "geometry-reader-missing",
        f"{program}, which proves where a segmentation lies, isn't installed: {remedy}.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Bytes that a child process may read, without a file on any disk."""

    descriptor: int

    @property
    def path(self) -> str:
        """Where a child process finds the bytes."""
        return f"/proc/self/fd/{self.descriptor}"

    def read_by(self, program: str, *arguments: str) -> bytes:
        """Return what the program says of the bytes; raises as `reread`."""
        name = Path(program).name
        try:
            done = subprocess.run(  # noqa: S603 - programs found by us, arguments of our own
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(self.descriptor,),
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _stopped(name) from error
        if done.returncode == -signal.SIGKILL:
            raise _stopped(name)
        if done.returncode:
            raise Defect("geometry-unproved", f"{name} can't read the segmentation.")
        return done.stdout


@contextmanager
def _in_memory(content: bytes) -> Iterator[_Source]:
    descriptor = os.memfd_create("segmentation")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield _Source(descriptor=descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _needing_room(folder: Path) -> Iterator[None]:
    """Blame a full folder for what fails within: dcmqi says success of what it could not write."""
    try:
        yield
    except (Defect, *FOREIGN) as error:
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < _LITTLE_ROOM:
            raise _stopped("dcmqi") from error
        raise


def _stopped(name: str) -> Transient:
    return Transient("geometry-reader-stopped", f"{name} ran out of time or memory.")


def _reread(folder: Path, attributes: bytes) -> Reread:
    positions = [one.split(b"\\") for one in dict.fromkeys(POSITION.findall(attributes))]
    largest = LARGEST_FRACTION.search(attributes)
    return Reread(
        segments=_segments(folder / "meta.json"),
        volumes=tuple(_volume(path) for path in sorted(folder.glob("*.nrrd"))),
        positions=np.array(positions, dtype=np.float64),
        largest_fraction=int(largest[1]) if largest else None,
    )


def _segments(path: Path) -> dict[int, str]:
    """Return the tracking UIDs; a label map's background, number 0, has none and isn't one."""
    listed = json.loads(path.read_bytes())["segmentAttributes"]
    segments = {int(one["labelID"]): one for many in listed for one in many}
    return {n: str(one["TrackingUniqueIdentifier"]) for n, one in segments.items() if n}


def _volume(path: Path) -> LabelVolume:
    """Return what an NRRD file's header says of its grid."""
    with path.open("rb") as file:
        lines = iter(file.readline, b"\n")
        fields = dict(line.decode().strip().split(": ", 1) for line in lines if b": " in line)
        begin = file.tell()
    known = (fields["space"], fields["encoding"], fields.get("endian", "little"))
    if known != ("left-posterior-superior", "gzip", "little"):
        raise ValueError(known)
    columns, rows, slices = (int(one) for one in fields["sizes"].split())
    along = [_vector(one) for one in fields["space directions"].split()]
    affine = np.eye(4)
    affine[:3] = np.column_stack([*reversed(along), _vector(fields["space origin"])])
    return LabelVolume(
        path=path,
        begin=begin,
        voxel_type=VOXELS[fields["type"]],
        shape=(slices, rows, columns),
        affine=affine,
    )


def _vector(text: str) -> NDArray[np.float64]:
    return np.array(text.strip("()").split(","), dtype=np.float64)
