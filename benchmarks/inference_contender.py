"""One way to run a network over a volume, timed in a process of its own.

`python inference_contender.py WAY OVERLAP FOLDER` prints one line of JSON. `FOLDER` is what
`write_inputs` made; the labels that were found go there too.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

    from clic_edge.inference.windowed import Network

    Run = Callable[[NDArray[np.int16], "Clock"], NDArray[np.uint8]]

_T = TypeVar("_T")
SHAPE = (300, 256, 256)
PATCH = 96
CLASSES = 4
LOW, HIGH = -200.0, 300.0
MIB = 1024


@dataclass(kw_only=True)
class Clock:
    """When a network was asked first, and how long it took in all."""

    first: float = 0.0
    seconds: float = 0.0

    def __call__(self, forward: Callable[[], _T]) -> _T:
        """Return the answer."""
        begin = time.perf_counter()
        self.first = self.first or begin
        answer = forward()
        self.seconds += time.perf_counter() - begin
        return answer


def main() -> None:
    """Time one way, and print what it took."""
    way, overlap, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    # A network is loaded and has answered once: what is measured is a case of a warm worker.
    run, voxels = WAYS[way](overlap, folder), np.load(folder / "voxels.npy")
    run(voxels[:PATCH, :PATCH, :PATCH].copy(), Clock())
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, clock = _status("VmRSS"), Clock()
    begin, worked = time.perf_counter(), time.process_time()
    labels = run(voxels, clock)
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    np.save(folder / f"{way.replace(' ', '-')}-{overlap:g}.npy", labels)
    told = {
        "seconds": seconds,
        "cpu": worked,
        "network": clock.seconds,
        "start_ms": 1000 * (clock.first - begin),
        "peak_mib": _status("VmHWM"),
        "beyond_mib": _status("VmHWM") - before,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(told))


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / MIB


def _ours(overlap: float, folder: Path) -> Run:
    from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume  # noqa: PLC0415 - this process loads what it uses
    from clic_edge.inference.onnx import OnnxNetwork  # noqa: PLC0415 - this process loads what it uses
    from clic_edge.inference.package import load_package  # noqa: PLC0415 - this process loads what it uses
    from clic_edge.inference.predicting import PackageRuntime  # noqa: PLC0415 - this process loads what it uses
    from clic_edge.inference.windowed import Windowed  # noqa: PLC0415 - this process loads what it uses

    package = load_package(folder / f"package-{overlap:g}")
    network = _Timed(OnnxNetwork(package.weights_path))
    runtime = PackageRuntime(package, Windowed(network, package.declaration))

    def run(voxels: NDArray[np.int16], clock: Clock) -> NDArray[np.uint8]:
        network.clock = clock
        affine = np.eye(4)[[2, 1, 0, 3]]
        count, rows, columns = voxels.shape
        volume = Volume(
            voxels=voxels,
            geometry=Geometry(affine=affine, shape=(count, rows, columns)),
            slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(count)),
            acquisition=Acquisition(modality="CT"),
            subject_id="",
            series_uid="",
        )
        return runtime.predict(volume).label_map

    return run


class _Timed:
    def __init__(self, network: Network) -> None:
        self.device, self.clock, self._network = network.device, Clock(), network

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.clock(lambda: self._network(windows))


def _monai(overlap: float, folder: Path, *, buffered: bool = False) -> Run:
    import torch  # noqa: PLC0415 - this process loads what it uses
    from monai.inferers.utils import sliding_window_inference  # noqa: PLC0415 - this process loads what it uses
    from monai.transforms.intensity.array import ScaleIntensityRange  # noqa: PLC0415 - this process loads what it uses

    network = build_network()
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    network.eval()
    scale = ScaleIntensityRange(LOW, HIGH, 0, 1, clip=True)

    def run(voxels: NDArray[np.int16], clock: Clock) -> NDArray[np.uint8]:
        with torch.inference_mode():
            # Right, anterior, superior, as the package says.
            image = torch.from_numpy(voxels).permute(2, 1, 0).flip([0, 1]).float()
            logits = sliding_window_inference(
                scale(image)[None, None],
                (PATCH,) * 3,
                1,
                lambda windows: clock(lambda: network(windows)),
                overlap=overlap,
                mode="gaussian",
                buffer_steps=1 if buffered else None,
                buffer_dim=0,
            )
            labels = cast("torch.Tensor", logits)[0].argmax(0).to(torch.uint8)
            found: NDArray[np.uint8] = np.asarray(labels.flip([0, 1]).permute(2, 1, 0))
            return found

    return run


def build_network() -> nn.Module:
    """Return a small U-Net with weights that are always the same."""
    import torch  # noqa: PLC0415 - this process loads what it uses
    from monai.networks.nets.unet import UNet  # noqa: PLC0415 - this process loads what it uses

    torch.manual_seed(0)
    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=CLASSES,
        channels=(16, 32, 64, 128),
        strides=(2, 2, 2),
        num_res_units=2,
    )


WAYS: dict[str, Callable[[float, Path], Run]] = {
    "clic-edge": _ours,
    "MONAI": _monai,
    "MONAI buffered": lambda overlap, folder: _monai(overlap, folder, buffered=True),
}

if __name__ == "__main__":
    main()
