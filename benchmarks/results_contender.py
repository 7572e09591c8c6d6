"""One way to write or prove a segmentation, timed in a process of its own.

`python results_contender.py WAY CLASSES FOLDER` prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import io
import json
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from analyses import SEGMENTS, analysis_of  # noqa: E402 - the path must be set first
from factories import Stack, make_series  # noqa: E402
from plain_highdicom import written_by_highdicom  # noqa: E402

from clic_edge.domain.prediction import SegmentDefinition, SegmentFinding  # noqa: E402
from clic_edge.results.check import check  # noqa: E402
from clic_edge.results.seg import SegWriter  # noqa: E402
from clic_edge.results.seg_labelmap import SegLabelmapWriter  # noqa: E402
from clic_edge.results.sr import SrWriter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    import pydicom
    from numpy.typing import NDArray

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

SHAPE = (300, 512, 512)
SPACING_MM = (1.0, 0.75, 0.75)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a way is given, and where it may write."""

    analysis: Analysis
    folder: Path

    @property
    def images(self) -> Path:
        """The originals as files, for programs that want them so."""
        return self.folder / "images"

    @property
    def labels(self) -> Path:
        """The mask as NRRD."""
        return self.folder / "labels.nrrd"

    @property
    def meta(self) -> Path:
        """What the labels mean, as dcmqi wants it."""
        return self.folder / "meta.json"


def main() -> None:
    """Time one way, and print what it took."""
    way, classes, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    work = Work(analysis=organs(classes), folder=folder)
    warnings.simplefilter("ignore")
    run = WAYS[way](work)
    ctypes.CDLL(None).malloc_trim(0)  # what was freed shall not hide what is taken
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    begin = time.perf_counter()
    size = run()
    seconds = time.perf_counter() - begin
    peak = max(
        _status("VmHWM") - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    )
    print(json.dumps({"seconds": seconds, "bytes": size, "peak_mib": peak}))


def organs(classes: int) -> Analysis:
    """Return 300 CT slices with ellipsoids as organs, where later ones lie over earlier."""
    rng = np.random.default_rng(classes)
    label_map = np.zeros(SHAPE, np.uint8)
    radius = 0.28 if classes < len(SEGMENTS) + 1 else 0.09
    for number in range(1, classes + 1):
        _paint(label_map, rng.uniform(0.3, 0.7, 3), radius * rng.uniform(0.7, 1.3, 3), number)
    stack = Stack(modality="CT", pixel_spacing=SPACING_MM[1:], slice_step=SPACING_MM[0])
    series = make_series(stack, np.zeros(SHAPE, np.int16))
    analysis = analysis_of(series, mask=label_map)
    volume = analysis.prediction.geometry.voxel_volume_mm3
    counts = np.bincount(label_map.ravel(), minlength=classes + 1)
    findings = tuple(
        SegmentFinding(
            definition=_definition(number),
            voxel_count=int(counts[number]),
            volume_mm3=int(counts[number]) * volume,
            mean_probability=0.9,
        )
        for number in range(1, classes + 1)
    )
    return replace(analysis, prediction=replace(analysis.prediction, segments=findings))


def _paint(
    label_map: NDArray[np.uint8],
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    number: int,
) -> None:
    size = np.array(SHAPE)
    low = np.maximum(0, np.floor((centre - radii) * size)).astype(int)
    high = np.minimum(size, np.ceil((centre + radii) * size)).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.ogrid[box]
    inside = sum(
        ((x / n - c) / r) ** 2 for x, n, c, r in zip(grid, SHAPE, centre, radii, strict=True)
    )
    label_map[box][inside <= 1] = number


def _definition(number: int) -> SegmentDefinition:
    return replace(SEGMENTS[0], number=number, name=f"organ {number}", label=f"Organ {number}")


def write_inputs(work: Work) -> None:
    """Write images, labels and their meaning as files, for dcmqi."""
    work.images.mkdir(parents=True)
    for number, one in enumerate(work.analysis.series.instances):
        (work.images / f"{number:04}.dcm").write_bytes(one.content)
    affine, label_map = work.analysis.prediction.geometry.affine, work.analysis.prediction.label_map
    directions = " ".join(f"({x},{y},{z})" for x, y, z in affine[:3, 2::-1].T)
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {SHAPE[2]} {SHAPE[1]} {SHAPE[0]}\nspace directions: {directions}\n"
        "kinds: domain domain domain\nencoding: raw\n"
        f"space origin: ({','.join(str(x) for x in affine[:3, 3])})\n\n"
    )
    work.labels.write_bytes(header.encode() + label_map.tobytes())
    codes = {"CodeValue": "91723000", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomy"}
    segments = [
        {
            "labelID": one.definition.number,
            "SegmentDescription": one.definition.label,
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": "organs",
            "SegmentedPropertyCategoryCodeSequence": codes,
            "SegmentedPropertyTypeCodeSequence": codes,
        }
        for one in work.analysis.prediction.segments
    ]
    work.meta.write_text(json.dumps({"segmentAttributes": [segments]}))


def _status(field: str) -> float:
    """Return a field of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def _written(writer: SegWriter | SegLabelmapWriter, work: Work) -> Callable[[], int]:
    return lambda: sum(len(one.content) for one in writer.write(work.analysis, ()))


def _plain(work: Work, kind: str) -> Callable[[], int]:
    return lambda: len(_bytes(written_by_highdicom(work.analysis, kind)))


def _bytes(ds: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def _dcmqi(work: Work, kind: str) -> Callable[[], int]:
    out = work.folder / f"{kind}.dcm"
    command = [
        ROOT / ".venv" / "bin" / "itkimage2segimage",
        *("--inputDICOMDirectory", work.images, "--inputImageList", work.labels),
        *("--inputMetadata", work.meta, "--outputDICOM", out, "--segmentationType", kind),
        *("--skip", "1"),
    ]

    def run() -> int:
        subprocess.run(command, check=True, capture_output=True)
        return out.stat().st_size

    return run


def _report(work: Work) -> Callable[[], int]:
    seg = SegWriter().write(work.analysis, ())
    return lambda: sum(len(one.content) for one in SrWriter().write(work.analysis, seg))


def _checked(work: Work) -> Callable[[], int]:
    results: tuple[ResultObject, ...] = SegWriter().write(work.analysis, ())
    results = (*results, *SrWriter().write(work.analysis, results))

    def run() -> int:
        check(results, work.analysis)
        return sum(len(one.content) for one in results)

    return run


WAYS: dict[str, Callable[[Work], Callable[[], int]]] = {
    "clic-edge": partial(_written, SegWriter()),
    "highdicom": partial(_plain, kind="BINARY"),
    "dcmqi": partial(_dcmqi, kind="binary"),
    "clic-edge, label map": partial(_written, SegLabelmapWriter()),
    "highdicom, label map": partial(_plain, kind="LABELMAP"),
    "dcmqi, label map": partial(_dcmqi, kind="labelmap"),
    "clic-edge, SR": _report,
    "clic-edge, check of SEG and SR": _checked,
}

if __name__ == "__main__":
    main()
