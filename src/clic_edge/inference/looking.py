"""A package for images: from one image to a prediction, whatever runs the network.

```
ImageRuntime.predict   gate ▶ frame ▶ steps ▶ network ▶ categories, label map, heat maps
└── Seeing             one framed image in, every output out: what a runtime brings
```
"""

from __future__ import annotations

import threading
import time
from copy import copy
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from clic_edge.domain.image import Image
from clic_edge.domain.prediction import (
    AREA,
    PIXELS,
    SQUARE_MILLIMETRE,
    Measurement,
    ParametricMap,
    Prediction,
    SegmentFinding,
)
from clic_edge.errors import Defect
from clic_edge.inference.categories import categories_of
from clic_edge.inference.detecting import ANY, COLUMNS, detections_of
from clic_edge.inference.embedding import embedding_of, pooled
from clic_edge.inference.framing import frame, resized
from clic_edge.inference.gate import admit_image
from clic_edge.inference.image_input import NO_UNITS, QUANTITIES
from clic_edge.inference.intensity import prepare
from clic_edge.inference.limits import Limits, on_device
from clic_edge.inference.predicting import LoadedPackage
from clic_edge.inference.windowed import softmax

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import SegmentDefinition
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Geometry, Volume
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.framing import Framing
    from clic_edge.inference.image_input import HeatMap, ImageInput
    from clic_edge.inference.package import ModelPackage

    Outputs = Mapping[str, NDArray[np.float32]]
    """By name; each with the images of a batch, here one, along its first axis."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How bright red, green and blue look (ITU-R BT.601)."""


class Seeing(Protocol):
    """Framed images in, outputs out: what a runtime brings."""

    @property
    def device(self) -> str:
        """``cuda``, ``cpu``, or the name of the server that runs it."""
        ...

    def outputs(self, images: NDArray[np.float32]) -> Outputs:
        """Return all outputs for images (n, channels, rows, columns); one caller at a time.

        Raises Defect ``network-failed`` where there is no answer.
        """
        ...


class ImageRuntime(LoadedPackage):
    """A package for images and its network: `Runtime` for whatever sees.

    One image at a time runs, the others wait.
    """

    def __init__(self, package: ModelPackage, seeing: Seeing) -> None:
        """Take both, after the network was seen to fit what the package declares.

        Raises
        ------
        Defect
            ``network-failed``, ``network-shape`` or ``network-not-finite``.
        ConfigError
            ``model-for-volumes``.

        """
        super().__init__(package)
        self._seeing = seeing
        self._one_at_a_time = threading.Lock()
        self._limits = Limits()
        declared = package.declaration.images
        self._outputs(np.zeros((1, declared.channels, *declared.size), np.float32))

    def within(self, limits: Limits) -> Self:
        """Return the same network, and the same turn to wait for, within limits."""
        other = copy(self)
        other._limits = limits  # noqa: SLF001 - a copy of itself
        other._seeing = on_device(self._seeing, limits.device)  # noqa: SLF001 - a copy of itself
        return other

    @property
    def device(self) -> str:
        """Where the network runs, as `Seeing.device` says."""
        return self._seeing.device

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, as `Runtime.predict` says."""
        declared = self.package.declaration
        if not isinstance(seen, Image):
            raise declared.is_for(self.takes)
        admit_image(seen, declared)
        framing = frame(seen.geometry.shape[1:], declared.images)
        images = seen_by_network(seen, declared.images, framing=framing)[np.newaxis]
        self.require_unchanged()
        outputs, seconds = self._outputs(images)
        layer = [outputs[declared.embedding.output]] if declared.embedding else []
        labels, segments = _segments(declared, outputs, framing=framing, geometry=seen.geometry)
        return Prediction(
            model=self.model,
            geometry=seen.geometry,
            label_map=labels,
            segments=segments,
            device=self.device,
            forward_seconds=seconds,
            categories=categories_of(declared.questions, outputs["categories"][0])
            if declared.questions
            else (),
            detections=detections_of(
                declared.detections,
                outputs["detections"][0],
                framing=framing,
                geometry=seen.geometry,
            )
            if declared.detections
            else (),
            maps=tuple(_map(one, outputs[one.name][0, 0], framing) for one in declared.maps),
            embedding=embedding_of([pooled(one) for one in layer]),
        )

    def _outputs(self, images: NDArray[np.float32]) -> tuple[Outputs, float]:
        """Return the outputs that the package declares, of those shapes, and what they took."""
        with self._one_at_a_time, self._limits.clock.running(self._seeing):
            begin = time.perf_counter()
            found = self._seeing.outputs(images)
            seconds = time.perf_counter() - begin
        declared = self.package.declaration
        expected = dict(_shapes(declared))
        layer = declared.embedding.output if declared.embedding else None
        answers = [values for name, values in found.items() if name != layer]
        if len(answers) == len(expected) == 1:  # what the only output is called says nothing
            found = {**found, **dict(zip(expected, answers, strict=True))}
        for name, shape in expected.items():
            if name not in found or not _fits(found[name].shape, shape):
                given = found[name].shape if name in found else "nothing"
                raise Defect(
                    "network-shape",
                    f"The network returned {given} as '{name}' in place of {shape}.",
                )
            if not np.isfinite(found[name]).all():
                raise Defect(
                    "network-not-finite", "The network returned values that are no numbers."
                )
        return found, seconds


def seen_by_network(image: Image, declared: ImageInput, *, framing: Framing) -> NDArray[np.float32]:
    """Return what the network sees of an image: (channels, rows, columns). Training calls it too."""
    pixels = framing.to_network(_in_channels(image, declared))
    framed = prepare(pixels, declared.intensity)
    return np.ascontiguousarray(np.atleast_3d(framed).transpose(2, 0, 1))


def _shapes(declared: Declaration) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """Yield name and shape of each output of one image; None is a number, `ANY` may be 0."""
    if declared.questions:
        yield "categories", (1, sum(one.logits for one in declared.questions))
    if declared.segments and declared.image:
        yield "segments", (1, len(declared.segments) + 1, *declared.image.size)
    if declared.detections:
        yield "detections", (1, ANY, COLUMNS)
    for one in declared.maps:
        yield one.name, (1, 1, None, None)


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(
        want in {ANY, have} or (want is None and have > 0)
        for have, want in zip(found, expected, strict=True)
    )


def _in_channels(image: Image, declared: ImageInput) -> NDArray[np.generic]:
    """Return the pixels as the package wants them: grey or colour, in its unit."""
    if image.pixels.ndim > 2:  # noqa: PLR2004 - rows, columns, colours
        coloured = declared.channels > 1
        return image.pixels if coloured else np.asarray(image.pixels, np.float32) @ LUMA
    if declared.values == "modality":
        return image.pixels
    black, white = image.shown
    shares = (image.pixels.astype(np.float32) - np.float32(black)) / np.float32(white - black)
    displayed: NDArray[np.float32] = np.clip(shares, 0, 1) * np.float32(255)
    return displayed


def _segments(
    declared: Declaration, outputs: Outputs, *, framing: Framing, geometry: Geometry
) -> tuple[NDArray[np.uint8], tuple[SegmentFinding, ...]]:
    """Return the most probable segment of each pixel, and what is said of each segment.

    Each is brought back to the image's pixels before they are compared. What the network did not
    see, beside a crop, is background.
    """
    labels = np.zeros((1, *framing.source), np.uint8)
    best = np.zeros(framing.source, np.float32)
    if declared.segments:
        probabilities = softmax(outputs["segments"][0].copy())
        best = framing.to_source(probabilities[0])
        for segment in declared.segments:
            candidate = framing.to_source(probabilities[segment.number])
            labels[0][candidate > best] = segment.number
            np.maximum(best, candidate, out=best)
    labels.flags.writeable = False
    return labels, tuple(
        _finding(one, geometry, best[labels[0] == one.number]) for one in declared.segments
    )


def _finding(
    segment: SegmentDefinition, geometry: Geometry, inside: NDArray[np.float32]
) -> SegmentFinding:
    rows, columns = geometry.spacing_mm[1:]
    return SegmentFinding(
        definition=segment,
        voxel_count=inside.size,
        volume_mm3=0.0,
        mean_probability=float(inside.mean(dtype=np.float64)) if inside.size else 0.0,
        measurements=(
            Measurement(
                name=AREA,
                value=inside.size * rows * columns,
                unit=SQUARE_MILLIMETRE if geometry.in_mm else PIXELS,
            ),
        ),
    )


def _map(declared: HeatMap, values: NDArray[np.float32], framing: Framing) -> ParametricMap:
    found = framing.to_source(resized(values, framing.size))[np.newaxis]
    found.flags.writeable = False
    return ParametricMap(
        name=declared.name,
        label=declared.label,
        quantity=QUANTITIES[declared.kind],
        unit=NO_UNITS,
        values=found,
    )
