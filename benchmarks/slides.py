"""How long a whole slide takes, and how much memory: of slides that are painted here.

Each slide is made, then read by a process of its own, as the line reads it: de-identified, opened,
its tissue found, every tile scored by `models/tissue-tiles`. What the compressed files take is
told apart: they are in memory twice, as they came and clean; the pixels never are.

    .venv/bin/python benchmarks/slides.py --sides 5000 10000 20000
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

TILE = 256
FACTORS = (1, 4, 16)
SPACING_MM = 0.0005


def piece(row: int, column: int, side: int, factor: int) -> np.ndarray:
    """Return one tile of a level: pink tissue with nuclei in a disc, glass beyond it."""
    y, x = np.mgrid[:TILE, :TILE] * factor
    y, x = y + row * TILE * factor, x + column * TILE * factor
    inside = np.hypot(y - side / 2, x - side / 2) < 0.4 * side
    nuclei = np.hypot(y % 40 - 20, x % 40 - 20) < 8  # noqa: PLR2004 - a radius
    picture = np.full((TILE, TILE, 3), 244, np.int16)
    picture[inside] = (230, 110, 225)
    picture[inside & nuclei] = (60, 50, 120)
    noise = np.random.default_rng((row, column, factor)).integers(-6, 7, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def make(side: int, folder: Path) -> None:
    """Write the levels of a slide, tile by tile."""
    from pydicom.encaps import encapsulate  # noqa: PLC0415 - not needed to measure
    from slides import Scan, sm_image  # noqa: PLC0415 - as above

    for factor in FACTORS:
        across = -(-side // factor // TILE)
        frames = []
        for row in range(across):
            for column in range(across):
                buffer = io.BytesIO()
                tile = Image.fromarray(piece(row, column, side, factor))
                tile.save(buffer, "JPEG", quality=80, subsampling=1)
                frames.append(buffer.getvalue())
        scan = Scan(spacing_mm=SPACING_MM, tile=(TILE, TILE), codec="jpeg")
        ds = sm_image(scan, np.zeros((TILE, TILE, 3), np.uint8), factor=factor)
        ds.TotalPixelMatrixRows = ds.TotalPixelMatrixColumns = side // factor
        ds.NumberOfFrames = len(frames)
        ds.PixelData = encapsulate(frames)
        ds.save_as(folder / f"{factor}.dcm", enforce_file_format=True)


def resident(name: str) -> int:
    """Return a number of this process in bytes: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def measure(folder: Path) -> dict[str, float]:
    """Return seconds and bytes of one slide, from its files to its scores."""
    from clic_edge.deid import deidentify  # noqa: PLC0415 - in the process that is measured
    from clic_edge.deid.keys import DeidKey  # noqa: PLC0415 - as above
    from clic_edge.deid.profile import BASIC  # noqa: PLC0415 - as above
    from clic_edge.dicom.slide_tiles import WsidicomTiles  # noqa: F401, PLC0415 - loaded before it counts
    from clic_edge.dicom.slides import build_slide, pictures_only  # noqa: PLC0415 - as above
    from clic_edge.domain.study import Instance, Series  # noqa: PLC0415 - as above
    from clic_edge.inference.loading import load_runtime  # noqa: PLC0415 - as above

    runtime = load_runtime(ROOT / "models" / "tissue-tiles")
    before = resident("VmRSS")
    begun = time.perf_counter()
    contents = [one.read_bytes() for one in sorted(folder.glob("*.dcm"))]
    instances = tuple(Instance(content=one) for one in contents)
    series = Series(
        study_instance_uid="",
        series_instance_uid="1.2.3",
        patient_id="4",
        issuer_of_patient_id="",
        instances=instances,
    )
    clean = deidentify(pictures_only(series), BASIC, DeidKey(b"k" * 32).pseudonym("4", ""))
    cleaned = time.perf_counter()
    slide = build_slide(clean)
    opened = time.perf_counter()
    found = runtime.predict(slide)
    done = time.perf_counter()
    return {
        "compressed": sum(map(len, contents)),
        "deidentify": cleaned - begun,
        "open": opened - cleaned,
        "predict": done - opened,
        "tiles": int((found.label_map > 0).sum()),
        "peak": resident("VmHWM") - before,
    }


def main() -> None:
    """Print a table, a row for each side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[5000, 10000, 20000])
    parser.add_argument("--measure", type=Path)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    print(
        "| slide | pixels | files | de-identified | opened | tiles | scored | peak | beside files |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for side in given.sides:
        with tempfile.TemporaryDirectory() as name:
            make(side, Path(name))
            command = [sys.executable, __file__, "--measure", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        mb = {key: row[key] / 1e6 for key in ("compressed", "peak")}
        print(
            f"| {side} x {side} | {side * side * 3 / 1e6:.0f} MB | {mb['compressed']:.0f} MB"
            f" | {row['deidentify']:.1f} s | {row['open']:.1f} s | {row['tiles']}"
            f" | {row['predict']:.1f} s | {mb['peak']:.0f} MB"
            f" | {mb['peak'] - 2 * mb['compressed']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
