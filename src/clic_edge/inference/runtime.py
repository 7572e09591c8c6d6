"""SEAM runtime: what runs a model package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from clic_edge.domain.image import Image, InputKind
    from clic_edge.domain.prediction import ModelIdentity, Prediction
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Volume


class Runtime(Protocol):
    """A loaded model package, kept for many cases; safe to call from several threads."""

    @property
    def model(self) -> ModelIdentity:
        """Which model this is, as it was verified when it was loaded."""
        ...

    @property
    def takes(self) -> InputKind:
        """Whether it looks at volumes, at images one by one, or at slides."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """The fields of `Acquisition` that the package declares; a caller tells it no others."""
        ...

    @property
    def device(self) -> str:
        """``cuda``, ``cpu``, or the name of the server that runs the model."""
        ...

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Return what the model finds, on the grid of the volume or image that it sees.

        Of a slide it lies on a grid of tiles.

        Raises
        ------
        Refusal
            It is outside what the package declares (spacing, size, modality).
        Defect
            The package changed since it was loaded, or the network returned NaN.
        Transient
            The server that runs the network is away.
        ConfigError
            ``model-for-images``, ``model-for-slides``, ``model-for-volumes``: it is of another kind.

        """
        ...
