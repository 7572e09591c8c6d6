"""A network in TorchScript or ``torch.export``, in a process of its own.

python -m clic_edge.inference.confined.torch_network ASKED ANSWERING KIND FILE
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from clic_edge.inference.confined.wire import Answer, Message, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    Network = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Serve: windows in, logits out."""
    asked, answering, kind, path = sys.argv[1:5]
    serve(partial(_load, kind, path), asked=int(asked), answering=int(answering))


def _load(kind: str, path: str) -> tuple[str, Answer]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network: Network
    if kind == "torchscript":
        script = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call] # torch's
        network = script.eval()
    else:
        network = torch.export.load(path).module().to(device)
    return device, partial(_answer, network, device)


def _answer(network: Network, device: str, asked: Message) -> Message:
    (windows,) = asked.arrays
    begin = time.perf_counter()
    with torch.inference_mode():
        logits = network(torch.from_numpy(windows).to(device)).float().cpu().numpy()
    seconds = time.perf_counter() - begin
    return Message(word="logits", seconds=seconds, arrays=(np.asarray(logits),))


if __name__ == "__main__":
    main()
