"""What the fuzz runs of the entrances start from; `python tests/fuzz/entrance_seeds.py` writes it."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hostile_files as made
import nibabel
import numpy as np
from factories import Stack, make_datasets, ramp
from fuzz.seeds import seeds
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSLossless, RLELossless
from sites import ROOT, pipeline_toml

CORPORA = Path(__file__).resolve().parent / "corpora"


def entrance_seeds() -> dict[str, dict[str, bytes]]:
    """Return the seeds by entrance and name."""
    frames = _frames()
    return {
        "header": {name: content for name, content in seeds().items() if len(content) < 8192}
        | {"items": made.part10(made.image(1) | {0x00081115: made.many_items(3)})}
        | {"nested": made.part10(made.image(1) | {0x00091001: made.nested(3, 0x00091001)})}
        | {"deflated-image": made.part10(made.image(1), made.DEFLATED)},
        "codestream": {name: frame[1:] for name, frame in frames.items()},
        "frame": frames,
        "rule": {
            "shipped": pipeline_toml().encode(),
            "all": b'name = "a"\n[rule]\nall = [{ modality = ["MR"] }, { not = { body_part = "x" } }]\n',
        },
        "labels": {"nifti": b"\0" + _nifti(), "dicom": b"\2" + made.part10(made.image(1))},
        "photograph": {"jpeg": _picture("JPEG"), "png": _picture("PNG")},
        "package": {"zip": _archive()},
    }


def _frames() -> dict[str, bytes]:
    found = {}
    for first, (name, syntax) in enumerate({"rle": RLELossless, "jpeg-ls": JPEGLSLossless}.items()):
        (ds,) = make_datasets(Stack(modality="CT"), ramp((1, 16, 16)))
        ds.compress(syntax, generate_instance_uid=False)
        found[name] = bytes((2 * first,)) + next(generate_frames(ds.PixelData, number_of_frames=1))
    found["jpeg"] = b"\1" + _picture("JPEG")
    found["jpeg-2000"] = b"\3" + _picture("JPEG2000", no_jp2=True)
    return found


def _picture(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _nifti() -> bytes:
    return nibabel.Nifti1Image(np.zeros((4, 4, 2), np.uint8), np.eye(4)).to_bytes()


def _archive() -> bytes:
    buffer = io.BytesIO()
    declaration = (ROOT / "models" / "tissue-tiles" / "model.toml").read_bytes()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.toml", declaration)
        archive.writestr("digests.json", b"{}")
    return buffer.getvalue()


def main() -> None:
    """Write the seeds."""
    for entrance, contents in entrance_seeds().items():
        folder = CORPORA / entrance
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
