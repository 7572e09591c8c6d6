"""Train the detector of text-like areas: ``python models/text-areas/train.py DATA MINUTES [SEED]``.

DATA is the folder of real test data, for anatomy that shows no text. The generator of the tests
draws the text; families of fonts and series that the sweep measures with are held out.
Writes ``src/clic_edge/deid/textareas.npz``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import textsweep  # noqa: E402 - found through the line above

from clic_edge.deid.textareas import CELL, evened, planes  # noqa: E402 - as above

WEIGHTS = ROOT / "src/clic_edge/deid/textareas.npz"
DILATIONS = (1, 1, 2, 4, 1, 1)
CHANNELS = 24
SIDE, MARGIN = 256, 16
BATCH = 16


def network() -> torch.nn.Sequential:
    """Return the network over cells of 4 x 4 pixels."""
    layers: list[torch.nn.Module] = [torch.nn.PixelUnshuffle(CELL)]
    inward = CELL * CELL
    for by in DILATIONS[:-1]:
        layers += [torch.nn.Conv2d(inward, CHANNELS, 3, padding=by, dilation=by), torch.nn.ReLU()]
        inward = CHANNELS
    return torch.nn.Sequential(*layers, torch.nn.Conv2d(inward, 1, 1))


def plane(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return one of the planes in which the detector looks at a frame."""
    seen = planes(pixels)
    return seen[int(rng.integers(len(seen)))]


def batch(rng: np.random.Generator, real: tuple) -> tuple[torch.Tensor, ...]:
    """Return pictures, cells that are text, and how much each cell counts."""
    pictures, cells, weights = [], [], []
    side = SIDE + 2 * MARGIN
    inner = slice(MARGIN, -MARGIN)
    for _ in range(BATCH):
        frame = textsweep.frame(
            rng,
            shape=(side, side),
            lines=int(rng.choice([0, 0, 1, 2, 3, 4])),
            held_out=False,
            real=real,
            colour=0.4,
        )
        share = frame.text[inner, inner].astype(np.float32)
        share = share.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).mean((1, 3))
        pictures.append(evened(plane(rng, frame.pixels[inner, inner])))
        cells.append(share > 0.4)  # noqa: PLR2004 - most of a cell
        weights.append(np.where((share > 0) & (share <= 0.4), 0, np.where(share > 0, 2.0, 1.0)))  # noqa: PLR2004 - as above
    return tuple(
        torch.from_numpy(np.asarray(values, np.float32)[:, None])
        for values in (pictures, cells, weights)
    )


def load(net: torch.nn.Sequential) -> None:
    """Take up the weights that `save` wrote."""
    arrays = np.load(WEIGHTS)
    convolutions = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(convolutions):
        taps = arrays[f"weights{number}"].astype(np.float32)
        kernel = taps.reshape(*layer.kernel_size, *taps.shape[1:]).transpose(2, 3, 0, 1)
        layer.weight.data = torch.from_numpy(kernel.copy())
        layer.bias.data = torch.from_numpy(arrays[f"bias{number}"].astype(np.float32))


def save(net: torch.nn.Sequential) -> None:
    """Write the weights as the package reads them."""
    arrays = {"dilations": np.array(DILATIONS, np.int8)}
    convolutions = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(convolutions):
        kernel = layer.weight.detach().numpy()
        taps = kernel.transpose(2, 3, 0, 1).reshape(-1, *kernel.shape[:2])
        arrays[f"weights{number}"] = taps.astype(np.float16)
        arrays[f"bias{number}"] = layer.bias.detach().numpy().astype(np.float16)
    np.savez_compressed(WEIGHTS, **arrays)


def main(folder: str, minutes: str, seed: str = "1") -> None:
    """Train for some minutes and save every minute; another seed than 1 goes on from what is there."""
    torch.manual_seed(int(seed))
    torch.set_num_threads(1)
    rng = np.random.default_rng(int(seed))
    real = textsweep.anatomy(Path(folder), held_out=False)
    net = network()
    if seed != "1":
        load(net)
    start, last, step, losses = time.monotonic(), 0.0, 0, []
    limit, rate = float(minutes) * 60, 3e-3 if seed == "1" else 1.5e-3
    best = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-4)
    while (passed := time.monotonic() - start) < limit:
        for group in best.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * max(0.02, 1 - passed / limit)
        pictures, cells, weights = batch(rng, real)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(pictures).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, cells, weights)
        best.zero_grad()
        loss.backward()
        best.step()
        losses.append(loss.item())
        step += 1
        if passed - last > 60 or step == 5:  # noqa: PLR2004 - once a minute
            last = passed
            save(net)
            print(f"{passed:5.0f} s, step {step}, loss {np.mean(losses[-100:]):.4f}", flush=True)
    save(net)


if __name__ == "__main__":
    main(*sys.argv[1:4])
