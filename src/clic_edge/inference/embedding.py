"""The layer that a package names as its embedding: what the monitor sees of how a model saw."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from clic_edge.inference.card import Embedding

MOST = 256
"""Numbers of an embedding."""
_BATCH_AND_CHANNELS = 2


def pooled(layer: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the means over space of a layer (n, channels, …), shape (n, at most 256).

    Of more channels, neighbours are averaged.
    """
    places = tuple(range(_BATCH_AND_CHANNELS, layer.ndim))
    channels = layer.mean(axis=places, dtype=np.float64)
    groups = np.array_split(np.arange(channels.shape[1]), min(MOST, channels.shape[1]))
    return np.stack([channels[:, group].mean(axis=1) for group in groups], axis=1)


def embedding_of(rows: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    """Return the mean of what windows or images gave, each of shape (n, numbers).

    Empty where there is nothing, or a number that is not finite: the answer is not lost by it.
    """
    if not rows:
        return ()
    mean = np.concatenate(rows).mean(axis=0)
    return tuple(mean.tolist()) if np.isfinite(mean).all() else ()


def require_layer(declared: Embedding | None, outputs: Iterable[tuple[str, int]]) -> None:
    """Return where a network has the layer beside its answer; `outputs` are names and dimensions.

    Raises ConfigError ``model-embedding``.
    """
    if declared is None:
        return
    known = dict(outputs)
    if known.get(declared.output, 0) >= _BATCH_AND_CHANNELS and len(known) > 1:
        return
    others = get_close_matches(declared.output, known.keys() - {declared.output}, n=1, cutoff=0)
    hint = f"; the nearest is {others[0]}" if others and declared.output not in known else ""
    raise ConfigError(
        "model-embedding",
        f"[embedding] output: the network gives no layer {declared.output} of images and channels "
        f"beside its answer{hint}.",
    )
