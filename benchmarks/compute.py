"""What happens in memory: de-identification, the sliding window, the segmentation object."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
import torch
from monai.inferers.utils import sliding_window_inference
from phantom import ORGANS, SLICE_STEP_MM, series_of
from pydicom.sr.codedict import codes
from rounds import Comparison, Contender, Times, interleave, tell

from clic_edge.deid import deidentify
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.profile import BASIC
from clic_edge.domain.prediction import (
    Code,
    ModelIdentity,
    Prediction,
    SegmentDefinition,
    SegmentFinding,
)
from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.volume_input import Window
from clic_edge.inference.windows import sliding_window
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter
from clic_edge.results.writer import Analysis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from phantom import Phantom

    from clic_edge.domain.result import ResultObject

CLASSES = len(ORGANS) + 1
ORGAN = Code(value="123037004", scheme="SCT", meaning="Anatomical Structure")


def compare_deid(phantom: Phantom, contents: tuple[bytes, ...], rounds: int) -> Comparison:
    """De-identify the phantom, against pydicom that only reads and writes it."""
    series = series_of(phantom, contents)
    pseudonym = DeidKey(bytes(32)).pseudonym(series.patient_id, "")
    contenders = (
        Contender(
            name="clic-edge: `deidentify`, residue check included",
            run=lambda: deidentify(series, BASIC, pseudonym),
        ),
        Contender(
            name="pydicom: read and write, nothing changed",
            run=lambda: [_rewritten(content) for content in contents],
        ),
        Contender(
            name="floor: copy the bytes", run=lambda: [bytearray(content) for content in contents]
        ),
    )
    return Comparison(
        title="De-identification",
        what="Basic Profile over the whole series, from bytes to bytes in memory. The peer does "
        "less: it parses and encodes the same files with pydicom and leaves every value alone, "
        "which is where any de-identifier built on pydicom starts.",
        times=interleave("de-identification", contenders, rounds),
    )


def _rewritten(content: bytes) -> bytes:
    buffer = io.BytesIO()
    ds = pydicom.dcmread(io.BytesIO(content))
    # Values are parsed at their first use; a de-identifier looks at each.
    for element in ds.iterall():
        _ = element.value
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compare_window(
    shape: tuple[int, int, int], patch: int, overlap: float, rounds: int
) -> Comparison:
    """Blend windows of a network that costs nothing, against MONAI."""
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    tensor = torch.from_numpy(image)[None, None]
    window = Window(shape=(patch, patch, patch), overlap=overlap, batch=1)
    windows = count_windows(shape, window.shape, overlap)
    sums = np.zeros((CLASSES, *window.shape), np.float32)

    def ours() -> NDArray[np.float32]:
        return sliding_window(image, _stand_in, window=window, classes=CLASSES)

    def monai(buffer_steps: int | None = None) -> object:
        with torch.inference_mode():
            return sliding_window_inference(
                tensor,
                window.shape,
                1,
                lambda x: torch.from_numpy(_stand_in(x.numpy())),
                overlap=overlap,
                mode="gaussian",
                buffer_steps=buffer_steps,
                buffer_dim=0,
            )

    def floor() -> None:
        for _ in range(windows):
            np.add(sums, _stand_in(image[None, None, :patch, :patch, :patch])[0], out=sums)

    difference = float(np.abs(ours() - np.asarray(monai())[0]).max())
    contenders = (
        Contender(name="clic-edge: `sliding_window`", run=ours),
        Contender(name="MONAI `sliding_window_inference`", run=monai),
        Contender(name="MONAI in one thread", run=lambda: _in_one_thread(monai)),
        Contender(
            name="MONAI with `buffer_steps=1`",
            run=lambda: monai(buffer_steps=1),
        ),
        Contender(name="floor: the stand-in and one addition for each window", run=floor),
    )
    size = " x ".join(str(extent) for extent in shape)
    return Comparison(
        title=f"Sliding window without the network, overlap {overlap:g}",
        what=f"{size} voxels, windows of {patch} x {patch} x {patch}, {CLASSES} classes, Gaussian "
        "blending; the network is a stand-in that copies its input for each class, the same for "
        "both. Ours runs in one thread; torch takes every core, and waits for them where other "
        "work has them.",
        times=interleave(f"sliding window, overlap {overlap:g}", contenders, rounds),
        facts=(
            f"{windows} windows. The greatest difference between our result and MONAI's is {difference:.1g}.",
        ),
    )


def _in_one_thread(run: Callable[[], object]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run()
    finally:
        torch.set_num_threads(threads)


def _stand_in(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the windows once for each class, in memory of their own: MONAI weighs in place."""
    return np.repeat(windows, CLASSES, axis=1)


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """What a shipped model spends in its network, on one volume of the size it was made for."""

    shape: tuple[int, ...]
    predict: Times
    forward: Times
    windows: int
    voxels: int
    """Of one window."""

    @property
    def seconds_per_voxel(self) -> float:
        """Seconds of the network for each voxel of each window."""
        return self.forward.median / (self.windows * self.voxels)


def measure_network(folder: Path, rounds: int) -> NetworkCost:
    """Run the model package in `folder` on noise, a quarter larger than the least that it takes."""
    runtime = OnnxRuntime.load(folder)
    declared = runtime.package.declaration
    x, y, z = (int(1.25 * least) for least in declared.input.smallest_mm)
    shape = (x, y, z)
    voxels = np.random.default_rng(1).normal(500, 100, shape).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS in the patient's LPS
    volume = Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        acquisition=Acquisition(modality=declared.input.modality),
        subject_id="phantom",
        series_uid="2.25.1",
    )
    predict, forward = [], []
    for turn in range(-1, rounds):
        tell(f"network: {f'round {turn + 1} of {rounds}' if turn >= 0 else 'warming up'}")
        begin = time.perf_counter()
        seconds = runtime.predict(volume).forward_seconds
        if turn >= 0:
            predict.append(time.perf_counter() - begin)
            forward.append(seconds)
    window = declared.window
    return NetworkCost(
        shape=shape,
        predict=Times(name="predict", seconds=tuple(predict)),
        forward=Times(name="forward", seconds=tuple(forward)),
        windows=count_windows(shape, window.shape, window.overlap),
        voxels=math.prod(window.shape),
    )


def count_windows(shape: tuple[int, ...], window: tuple[int, int, int], overlap: float) -> int:
    """Return how many windows cover `shape`."""
    steps = [max(int(extent * (1 - overlap)), 1) for extent in window]
    return math.prod(
        math.ceil(max(size - extent, 0) / step) + 1
        for size, extent, step in zip(shape, window, steps, strict=True)
    )


def compare_seg(phantom: Phantom, contents: tuple[bytes, ...], rounds: int) -> Comparison:
    """Write and check a segmentation, against highdicom's own of the same mask."""
    analysis = analysis_of(phantom, contents)
    headers = [
        pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True) for content in contents
    ]
    contenders = (
        Contender(name="clic-edge: write and check", run=lambda: check(_seg(analysis), analysis)),
        Contender(name="clic-edge: write alone", run=lambda: _seg(analysis)),
        Contender(
            name="highdicom: `Segmentation`, `save_as`",
            run=lambda: _plain_highdicom(phantom.mask, headers),
        ),
        Contender(
            name="floor: pack the bits of the frames that are not empty",
            run=lambda: _packed(phantom.mask),
        ),
    )
    times = interleave("SEG", contenders, rounds)
    (made,), theirs = _seg(analysis), _plain_highdicom(phantom.mask, headers)
    frames = pydicom.dcmread(io.BytesIO(made.content)).NumberOfFrames
    return Comparison(
        title="Segmentation object",
        what=f"A mask of {CLASSES - 1} segments on the phantom's planes, as BINARY SEG. Ours "
        "starts from the originals' bytes, since a stage holds no parsed dataset, and reads the "
        "written object back to compare every frame; highdicom gets the headers parsed already.",
        times=times,
        facts=(
            (
                f"{frames} frames; {len(made.content) / 1e6:.1f} MB ours, {len(theirs) / 1e6:.1f} MB "
                f"highdicom's, {len(_packed(phantom.mask)) / 1e6:.1f} MB the bits alone."
            ),
        ),
    )


def analysis_of(phantom: Phantom, contents: tuple[bytes, ...]) -> Analysis:
    """Return what the writers get, with the phantom's own mask as the prediction."""
    affine = np.eye(4)[[2, 1, 0, 3]] * [SLICE_STEP_MM, *[phantom.pixel_spacing_mm] * 2, 1]
    affine[:, 3] = [*pydicom.dcmread(io.BytesIO(contents[0])).ImagePositionPatient[:], 1]
    affine.flags.writeable = False
    geometry = Geometry(affine=affine, shape=phantom.mask.shape)
    return Analysis(
        case_id="phantom",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        series=series_of(phantom, contents),
        slices=tuple(
            SliceSource(instance_index=index, frame_number=1) for index in range(phantom.slices)
        ),
        prediction=Prediction(
            model=ModelIdentity(
                model_id="phantom", version="1", title="Organs", manufacturer="us", digest="ab" * 32
            ),
            geometry=geometry,
            label_map=phantom.mask,
            segments=_findings(phantom, geometry),
            device="cpu",
            forward_seconds=0.0,
        ),
    )


def _findings(phantom: Phantom, geometry: Geometry) -> tuple[SegmentFinding, ...]:
    counts = np.bincount(phantom.mask.ravel(), minlength=CLASSES)
    return tuple(
        SegmentFinding(
            definition=SegmentDefinition(
                number=number,
                name=organ.name.lower(),
                label=organ.name,
                category=ORGAN,
                property_type=Code(value=organ.code, scheme="SCT", meaning=organ.name),
            ),
            voxel_count=int(counts[number]),
            volume_mm3=float(counts[number]) * geometry.voxel_volume_mm3,
            mean_probability=1.0,
        )
        for number, organ in enumerate(ORGANS, start=1)
    )


def _seg(analysis: Analysis) -> tuple[ResultObject, ...]:
    return SegWriter().write(analysis, ())


def _plain_highdicom(mask: NDArray[np.uint8], headers: Sequence[pydicom.Dataset]) -> bytes:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="Organs", family=codes.DCM.ArtificialIntelligence, version="1"
    )
    seg = highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=organ.name,
                segmented_property_category=highdicom.sr.CodedConcept(
                    ORGAN.value, ORGAN.scheme, ORGAN.meaning
                ),
                segmented_property_type=highdicom.sr.CodedConcept(organ.code, "SCT", organ.name),
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
            )
            for number, organ in enumerate(ORGANS, start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=100,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="peer",
        manufacturer_model_name="peer",
        software_versions="1",
        device_serial_number="1",
    )
    buffer = io.BytesIO()
    seg.save_as(buffer)
    return buffer.getvalue()


def _packed(mask: NDArray[np.uint8]) -> bytes:
    frames = (plane == number for number in range(1, CLASSES) for plane in mask)
    return b"".join(np.packbits(f, bitorder="little").tobytes() for f in frames if f.any())
