"""Train the gate: does a picture show the fundus of an eye in colour?

    python models/retina-vessels/gate.py DATA

DATA holds ``2d/retina-chasedb1``, ``2d/medmnist/retinamnist.npz`` and ``2d/dermoscopy-isic2017``.
Learns from the training images of each and writes ``gate.onnx``; what it says of images that it
did not learn from is printed. What is no fundus: dermoscopies, fundus images turned inside out,
in other colours or cut to a part, textures, plain colours, and noise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

SIDE = 32
SEED = 20261121
EPOCHS = 30
SURE = 0.5
HERE = Path(__file__).parent


class Gate(nn.Module):
    """Three convolutions and a mean: 6 thousand weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 20, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(20, 20, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * 16, 1),
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (n, 1): how sure it is, 0 to 1."""
        return torch.sigmoid(self.layers(pictures))


def _shrunk(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / 255


def _mnist(data: Path, part: str) -> np.ndarray:
    images = np.load(data / "2d" / "medmnist" / "retinamnist.npz")[f"{part}_images"]
    shrunk = [
        Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for one in images
    ]
    return np.stack([np.asarray(one, np.float32) / 255 for one in shrunk])


def pictures(data: Path, *, part: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (n, SIDE, SIDE, 3) and whether each shows a fundus, of one part."""
    eyes = json.loads((HERE / "split.json").read_text())["train" if part == "train" else "test"]
    chase = [_shrunk(data / "2d" / "retina-chasedb1" / "images" / f"{one}.jpg") for one in eyes]
    fundus = np.concatenate([np.stack(chase * (10 if part == "train" else 1)), _mnist(data, part)])
    moles = sorted((data / "2d" / "dermoscopy-isic2017" / "images").glob("*.jpg"))
    skin = np.stack([_shrunk(one) for one in (moles[::2] if part == "train" else moles[1::2])])
    others = np.concatenate([skin, *_strange(fundus, rng)])
    truth = np.r_[np.ones(len(fundus)), np.zeros(len(others))].astype(np.float32)
    return np.concatenate([fundus, others]), truth


def _strange(fundus: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    some = fundus[rng.permutation(len(fundus))[: len(fundus) // 2]]
    count = len(some) // 2
    inner = [
        np.asarray(
            Image.fromarray((one[12:20, 12:20] * 255).astype(np.uint8)).resize((SIDE, SIDE)),
            np.float32,
        )
        / 255
        for one in some[:count]
    ]
    noise = rng.random((count, SIDE, SIDE, 3), np.float32)
    plain = np.broadcast_to(rng.random((count, 1, 1, 3), np.float32), noise.shape)
    steps = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None, None]
    ramps = np.broadcast_to(steps * rng.random((count, 1, 1, 3), np.float32), noise.shape)
    grey = np.broadcast_to(some[count : 2 * count].mean(axis=3, keepdims=True), noise.shape)
    return [1 - some, some[..., ::-1], np.stack(inner), noise, plain, ramps, grey]


def _changed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images in other light, mirrored and turned."""
    count = len(images)
    light = 0.7 + 0.6 * torch.rand((count, 1, 1, 1), generator=generator)
    colour = 0.9 + 0.2 * torch.rand((count, 3, 1, 1), generator=generator)
    images = (images * light * colour).clamp(0, 1)
    turns = int(torch.randint(0, 4, (1,), generator=generator))
    return torch.rot90(images, turns, (2, 3))


def train(images: np.ndarray, truth: np.ndarray) -> Gate:
    """Return a gate that has learned from pictures."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    gate = Gate()
    seen, wanted = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(truth)[:, None]
    steps = torch.optim.AdamW(gate.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(seen), generator=generator).split(64):
            loss = nn.functional.binary_cross_entropy(
                gate(_changed(seen[batch], generator)), wanted[batch]
            )
            steps.zero_grad()
            loss.backward()
            steps.step()
    return gate.eval()


def main(data: Path) -> None:
    """Train, say how good it is, and write it."""
    rng = np.random.default_rng(SEED)
    gate = train(*pictures(data, part="train", rng=rng))
    images, truth = pictures(data, part="test", rng=rng)
    with torch.no_grad():
        sure = gate(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()[:, 0]
    let_in, kept_out = (sure >= SURE)[truth > SURE], (sure < SURE)[truth < SURE]
    print(f"fundus images let in: {let_in.sum()} of {len(let_in)}")
    print(f"others kept out: {kept_out.sum()} of {len(kept_out)}")
    torch.onnx.export(
        gate,
        (torch.zeros(1, 3, SIDE, SIDE),),
        HERE / "gate.onnx",
        input_names=["pictures"],
        output_names=["sure"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
