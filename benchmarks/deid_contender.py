"""One way to read or de-identify a folder of files, timed in a process of its own.

`python deid_contender.py NAME IN OUT` prints one line of JSON. It runs under two interpreters, ours
and the peers', so that it imports nothing before it knows which way is asked for.
"""

# ruff: noqa: PLC0415 - each way imports what it needs, and no interpreter has all of it
from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
CORRUPT = (Exception,)
"""What a peer may raise on an odd file: it counts as not written."""


def pydicom_read_write(files: Sequence[Path], out: Path) -> None:
    """Read and write each file."""
    import pydicom

    for file in files:
        try:
            pydicom.dcmread(file, force=True).save_as(out / file.name)
        except CORRUPT:
            (out / file.name).unlink(missing_ok=True)


def pydicom_flushed(files: Sequence[Path], out: Path) -> None:
    """Read and write each file, and wait until the disk has it."""
    import pydicom

    for file in files:
        try:
            with (out / file.name).open("wb") as written:
                pydicom.dcmread(file, force=True).save_as(written)
                written.flush()
                os.fsync(written.fileno())
        except CORRUPT:
            (out / file.name).unlink(missing_ok=True)


def pydicom_every_element(files: Sequence[Path], out: Path) -> None:
    """Read each file, look at each element at any depth, and write it."""
    import pydicom

    for file in files:
        try:
            ds = pydicom.dcmread(file, force=True)
            ds.walk(lambda _, element: element.value)
            ds.save_as(out / file.name)
        except CORRUPT:
            (out / file.name).unlink(missing_ok=True)


def byte_walk(files: Sequence[Path], _: Path) -> None:
    """Read each file with our Part 10 reader; nothing is written."""
    from clic_edge.deid import part10
    from clic_edge.errors import ClicEdgeError

    for file in files:
        try:
            part10.read(file.read_bytes())
        except ClicEdgeError:
            continue


def in_pipeline(files: Sequence[Path], out: Path) -> None:
    """Clean as the pipeline does: `deidentify` with its residue check, written without fsync."""
    from clic_edge.deid import BASIC, DeidKey, deidentify
    from clic_edge.domain.study import Instance, Series
    from clic_edge.errors import ClicEdgeError

    pseudonym = DeidKey(b"k" * 32).pseudonym("1", "")
    for file in files:
        series = Series(
            study_instance_uid="1.2",
            series_instance_uid="1.2.3",
            patient_id="1",
            issuer_of_patient_id="",
            instances=(Instance(content=file.read_bytes()),),
        )
        try:
            clean = deidentify(series, BASIC, pseudonym).instances[0].content
        except ClicEdgeError:
            continue
        (out / file.name).write_bytes(clean)


def folder_cleaned(profile: str, workers: int) -> Callable[[Sequence[Path], Path], None]:
    """Return `clic-edge deid` on a folder: every check, fsync, read back, certificate."""

    def clean(files: Sequence[Path], out: Path) -> None:
        from clic_edge.deid import DeidKey, load_profile
        from clic_edge.deid.batch import Order, clean_all
        from clic_edge.deid.file import Bench, FileSource

        bench = Bench(
            profile=load_profile(ROOT / "configs" / "deid" / f"{profile}.toml"),
            key=DeidKey(b"k" * 32),
            out=out,
            keep_names_below=files[0].parent,
        )
        clean_all(map(FileSource, files), Order(bench=bench, workers=workers), lambda _: None)

    return clean


def dicognito(files: Sequence[Path], out: Path) -> None:
    """Anonymize with dicognito's defaults."""
    import pydicom
    from dicognito.anonymizer import Anonymizer  # type: ignore[import-not-found]  # a peer's own venv

    anonymizer = Anonymizer(seed="k")
    for file in files:
        try:
            ds = pydicom.dcmread(file, force=True)
            anonymizer.anonymize(ds)
            ds.save_as(out / file.name)
        except CORRUPT:
            (out / file.name).unlink(missing_ok=True)


def deid(files: Sequence[Path], out: Path) -> None:
    """Replace identifiers with deid's default recipe; private attributes removed."""
    from deid.config import DeidRecipe  # type: ignore[import-not-found]  # a peer's own venv
    from deid.dicom import replace_identifiers  # type: ignore[import-not-found]  # as above
    from deid.logger import bot  # type: ignore[import-not-found]  # as above

    bot.level = -5
    recipe = DeidRecipe()
    for file in files:
        try:
            (ds,) = replace_identifiers(
                [str(file)], deid=recipe, remove_private=True, disable_skip=True
            )
            ds.save_as(out / file.name)
        except (*CORRUPT, SystemExit):
            (out / file.name).unlink(missing_ok=True)


WAYS: dict[str, Callable[[Sequence[Path], Path], None]] = {
    "pydicom read + write": pydicom_read_write,
    "pydicom read + write, flushed": pydicom_flushed,
    "pydicom, every element touched": pydicom_every_element,
    "byte walk": byte_walk,
    "clic-edge, in the pipeline": in_pipeline,
    "clic-edge, basic": folder_cleaned("basic", 1),
    "clic-edge, research": folder_cleaned("research", 1),
    "clic-edge, basic, two workers": folder_cleaned("basic", 2),
    "dicognito": dicognito,
    "deid": deid,
}


def _cpu() -> float:
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _peak_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Run one way: a few files to warm up, then all, timed."""
    warnings.simplefilter("ignore")
    way, files = WAYS[sys.argv[1]], sorted(Path(sys.argv[2]).iterdir())
    out = Path(sys.argv[3])
    for part, some in (("warm", files[:: max(1, len(files) // 20)]), ("all", files)):
        (out / part).mkdir(parents=True)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, cpu, begin = _peak_kib(), _cpu(), time.perf_counter()
        way(some, out / part)
        wall, cpu, peak = time.perf_counter() - begin, _cpu() - cpu, _peak_kib() - before
    written = sum(1 for path in (out / "all").rglob("*.dcm"))
    print(json.dumps({"wall": wall, "cpu": cpu, "peak_kib": peak, "written": written}))


if __name__ == "__main__":
    main()
