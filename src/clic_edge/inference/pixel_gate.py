"""Do the pixels show what the model was made for? A small network before the large one says it.

An attribute tells what somebody typed; what a photograph or a scan shows, only its pixels tell.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol, Self

import numpy as np

from clic_edge.domain.image import Image
from clic_edge.domain.volume import Volume
from clic_edge.errors import Defect, Refusal
from clic_edge.inference.framing import resized
from clic_edge.inference.limits import Adjustable, Limits
from clic_edge.inference.transforms import oriented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.image import InputKind
    from clic_edge.domain.prediction import ModelIdentity, Prediction
    from clic_edge.domain.slide import Slide
    from clic_edge.inference.card import PixelGate
    from clic_edge.inference.runtime import Runtime

_ENDS: Final = (1.0, 99.0)
"""Percentiles of a volume that become black and white."""
_BYTE: Final = np.float32(255)


class Judge(Protocol):
    """A network that looks at pictures (n, channels, rows, columns) of 0 to 1."""

    def __call__(self, pictures: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return for each picture, (n, 1), how sure it is that it shows the right thing, 0 to 1."""
        ...


class Gated:
    """A runtime behind the gate of its package: `Runtime` for whatever looks at pixels."""

    def __init__(self, runtime: Runtime, judge: Judge, declared: Gate) -> None:
        """Take them, after the judge was seen to answer for a picture.

        Raises Defect ``gate-network``.
        """
        self._runtime = runtime
        self._judge = judge
        self._declared = declared
        self._one_at_a_time = threading.Lock()
        self._sureness(np.zeros((1, declared.channels, *declared.pixels.size), np.float32))

    @property
    def model(self) -> ModelIdentity:
        """Which model this is."""
        return self._runtime.model

    @property
    def takes(self) -> InputKind:
        """Whether it looks at volumes or images."""
        return self._runtime.takes

    @property
    def needs(self) -> frozenset[str]:
        """The fields of `Acquisition` that the package declares."""
        return self._runtime.needs

    @property
    def device(self) -> str:
        """Where the model runs; the gate is on the CPU."""
        return self._runtime.device

    def within(self, limits: Limits) -> Self:
        """Return the same gate before a runtime that keeps to limits."""
        runtime = self._runtime
        if isinstance(runtime, Adjustable):
            runtime = runtime.within(limits)
        return type(self)(runtime, self._judge, self._declared)

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says.

        Raises Refusal ``pixels-unsupported`` where the pixels show something else.
        """
        pictures = self._declared.pictures(seen)
        if len(pictures):
            sureness = float(self._sureness(pictures).mean())
            if not sureness >= self._declared.pixels.least:
                raise Refusal(
                    "pixels-unsupported",
                    f"The images do not look like {self._declared.pixels.shows}, which this model "
                    "is made for.",
                )
        return self._runtime.predict(seen)

    def _sureness(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._one_at_a_time:
            found = self._judge(pictures)
        if found.shape != (len(pictures), 1) or not ((found >= 0) & (found <= 1)).all():
            raise Defect(
                "gate-network", "The gate's network does not answer each picture with 0 to 1."
            )
        return found


class Gate:
    """What a package says of its gate, and of what it looks at."""

    def __init__(self, pixels: PixelGate, *, channels: int, orientation: str | None) -> None:
        """Take the gate's table, its network's channels, and where a volume's axes should point."""
        self.pixels = pixels
        self.channels = channels
        self._orientation = orientation

    def pictures(self, seen: Volume | Image | Slide) -> NDArray[np.float32]:
        """Return what the gate sees, (n, channels, rows, columns) of 0 to 1.

        Of an image itself; of a volume the middle plane along each of the network's axes. Nothing
        of a slide, nor of what is no image at all: the model's own gate refuses that.
        """
        if isinstance(seen, Image):
            planes = self._of_image(seen)
        elif isinstance(seen, Volume) and self._orientation:
            planes = list(_middles(seen, self._orientation))
        else:
            planes = []
        found = [np.stack([resized(one, self.pixels.size) for one in plane]) for plane in planes]
        return np.array(found, np.float32).reshape(-1, self.channels, *self.pixels.size)

    def _of_image(self, image: Image) -> list[list[NDArray[np.float32]]]:
        pixels = image.pixels.astype(np.float32)
        is_coloured = pixels.ndim > 2  # noqa: PLR2004 - rows, columns, colours
        if is_coloured != (self.channels > 1):
            return []
        if is_coloured:
            return [[np.asarray(one / _BYTE) for one in np.moveaxis(pixels, -1, 0)]]
        black, white = image.shown
        return [[np.clip((pixels - np.float32(black)) / np.float32(white - black), 0, 1)]]


def _middles(volume: Volume, orientation: str) -> Iterator[list[NDArray[np.float32]]]:
    seen = oriented(volume.geometry, orientation).seen(volume.voxels)
    step = max(1, volume.voxels.size // 1_000_000)
    black, white = np.percentile(volume.voxels.reshape(-1)[::step].astype(np.float32), _ENDS)
    for axis, count in enumerate(seen.shape):
        plane = np.take(seen, count // 2, axis=axis).astype(np.float32)
        yield [np.clip((plane - black) / max(float(white - black), 1e-6), 0, 1)]
