"""A MONAI bundle, as the model zoo lays one out, in a process of its own.

    python -m clic_edge.inference.confined.bundle ASKED ANSWERING ROOT CLASSES

Of ``configs/inference.json`` it takes what every bundle of the zoo defines: ``preprocessing``,
``network_def``, ``inferer`` and ``postprocessing``, each as published, its expressions included.
Around them it does what the zoo's ``evaluator`` does; that one itself would need its data list.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.utils import decollate_batch, list_data_collate
from monai.transforms.spatial.array import SpatialResample
from nibabel.nifti1 import Nifti1Image

from clic_edge.inference.confined.wire import Answer, Message, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from monai.data.meta_tensor import MetaTensor
    from numpy.typing import NDArray

    Found = Mapping[str, MetaTensor]

CONFIG, METADATA = "configs/inference.json", "configs/metadata.json"
SAME_PLACE_MM = 1e-3
SCRIPT, WEIGHTS = "models/model.ts", "models/model.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """The parts of a bundle, made."""

    image: str
    """Key of the image in a sample."""
    pred: str
    """Key of what was found."""
    device: torch.device
    preprocessing: Callable[[dict[str, str]], object]
    network: torch.nn.Module
    inferer: Callable[[torch.Tensor, torch.nn.Module], torch.Tensor]
    postprocessing: Callable[[object], Found]


def main() -> None:
    """Serve: voxels and their affine in, label map, probability and affine out."""
    asked, answering, root, classes = sys.argv[1:5]
    load = partial(_load, Path(root), int(classes))
    serve(load, asked=int(asked), answering=int(answering))


def _load(root: Path, classes: int) -> tuple[str, Answer]:
    sys.path.insert(1, str(root))  # a bundle's own modules, as `monai.bundle` finds them
    parser = ConfigParser()
    parser.read_meta(root / METADATA)
    parser.read_config(root / CONFIG)
    parser["bundle_root"] = str(root)
    parser["output_dir"] = str(Path.cwd() / "saved")
    (image,), (pred,) = (parser["_meta_"]["network_data_format"][way] for way in _WAYS)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    bundle = _Bundle(
        image=image,
        pred=pred,
        device=device,
        preprocessing=parser.get_parsed_content("preprocessing"),
        network=_network(parser, root, device),
        inferer=parser.get_parsed_content("inferer"),
        postprocessing=parser.get_parsed_content("postprocessing"),
    )
    return device.type, partial(_answer, bundle, classes)


_WAYS = ("inputs", "outputs")


def _network(parser: ConfigParser, root: Path, device: torch.device) -> torch.nn.Module:
    """Return the network with the weights that the bundle holds; TorchScript where it has both."""
    if (root / SCRIPT).exists():
        script: torch.nn.Module = torch.jit.load(  # type: ignore[no-untyped-call] # torch's
            str(root / SCRIPT), map_location=device
        )
        return script.eval()
    network: torch.nn.Module = parser.get_parsed_content("network_def")
    weights = torch.load(root / WEIGHTS, map_location=device, weights_only=True)
    network.load_state_dict(weights.get("model", weights))
    return network.to(device).eval()


def _answer(bundle: _Bundle, classes: int, asked: Message) -> Message:
    path = Path.cwd() / "image.nii"
    try:
        return _found(bundle, classes, asked, path=path)
    finally:  # pixels of a patient: this process may wait for long until the next case
        path.unlink(missing_ok=True)
        shutil.rmtree(Path.cwd() / "saved", ignore_errors=True)


def _found(bundle: _Bundle, classes: int, asked: Message, *, path: Path) -> Message:
    voxels, affine = asked.arrays
    image = Nifti1Image(voxels, affine)  # type: ignore[no-untyped-call] # nibabel's
    image.to_filename(path)
    batch = list_data_collate([bundle.preprocessing({bundle.image: str(path)})])
    begin = time.perf_counter()
    with torch.inference_mode():
        found = bundle.inferer(batch[bundle.image].to(bundle.device), bundle.network)
    seconds = time.perf_counter() - begin
    if found.shape[1] not in {1, classes}:
        return Message(word="shape")
    if not torch.isfinite(found).all():
        return Message(word="not-finite")
    batch[bundle.pred] = found
    (sample,) = decollate_batch(batch)
    pred = _on_grid(bundle.postprocessing(sample)[bundle.pred], voxels.shape, affine)
    labels, probability = _labels(pred.cpu().numpy())
    grid = np.asarray(pred.affine, np.float64)
    return Message(word="found", seconds=seconds, arrays=(labels, probability, grid))


def _on_grid(pred: MetaTensor, shape: tuple[int, ...], affine: NDArray[np.generic]) -> MetaTensor:
    """Return what was found on the image's own grid, where the bundle has not brought it back."""
    if pred.shape[1:] == shape and np.allclose(pred.affine, affine, atol=SAME_PLACE_MM):
        return pred
    resample = SpatialResample(mode="nearest")
    matched = resample(pred, torch.as_tensor(affine), spatial_size=shape)
    return cast("MetaTensor", matched)


def _labels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the label of each voxel and, where the bundle tells it, its probability; else 1."""
    if len(values) == 1:
        labels = np.clip(np.rint(values[0]), 0, 255).astype(np.uint8)
        return labels, np.ones(labels.shape, np.float32)
    labels = values.argmax(axis=0).astype(np.uint8)
    return labels, np.clip(values.max(axis=0), 0, 1).astype(np.float32)


if __name__ == "__main__":
    main()
