"""The brightness network of `model_packages`, packed for each runtime."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from applications import BRIGHTNESS, write_application
from model_packages import TOML, write_package

from clic_edge.inference.application import ApplicationRuntime
from clic_edge.inference.bundle import BundleRuntime
from clic_edge.inference.kserve import KserveRuntime
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.package import write_digests
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.torch import TorchExportRuntime, TorchScriptRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from clic_edge.inference.predicting import PackageRuntime
    from clic_edge.inference.runtime import Runtime

    Slopes = tuple[float, ...]
    Write = Callable[..., Path]

SLOPES = (0.0, 10.0, 30.0)
BIASES = (0.0, 0.0, -40.0)
CLASSES = 3
"""As the package declares them, whatever the network has."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A runtime, and how the brightness network is packed for it."""

    name: str
    write: Write
    """``write(folder, toml=…, slopes=…)`` returns the folder."""
    runtime: type[PackageRuntime]
    network: str
    """A file in the package that the answers depend on."""
    site: Site = HERE
    no_numbers: str = "network-not-finite"
    """What is said of a network that returns NaN. Here and below: empty where it can't be seen, or
    where the same is seen of another kind, in the same lines of ours, in a tenth of the time."""
    unreadable: str = "network-unreadable"
    """What is said where `network` is no network."""
    other_classes: str = "network-shape"
    """What is said of a network with two classes in place of three."""

    def load(self, folder: Path) -> Runtime:
        """Return the package in `folder`, ready to run."""
        return self.runtime.load(folder, self.site)


def brightness(slopes: Slopes) -> torch.nn.Module:
    """Return the network in torch: logits ``slope * z + bias`` of intensity z."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Conv3d(1, len(slopes), 1).eval()
    with torch.no_grad():
        network.weight[:] = torch.tensor(slopes).reshape(-1, 1, 1, 1, 1)
        network.bias[:] = torch.tensor(BIASES[: len(slopes)])
    return network


def _finish(folder: Path, toml: str, *, runtime: str, weights: str) -> Path:
    named = toml.replace('weights = "model.onnx"', f'runtime = "{runtime}"\nweights = "{weights}"')
    (folder / "model.toml").write_text(named)
    write_digests(folder)
    return folder


def write_torchscript(folder: Path, *, toml: str = TOML, slopes: Slopes = SLOPES) -> Path:
    torch = pytest.importorskip("torch")
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(brightness(slopes), torch.zeros(2, 1, 8, 8, 8)).save(folder / "model.ts")
    return _finish(folder, toml, runtime="torchscript", weights="model.ts")


def write_export(folder: Path, *, toml: str = TOML, slopes: Slopes = SLOPES) -> Path:
    torch = pytest.importorskip("torch")
    folder.mkdir(parents=True, exist_ok=True)
    free = torch.export.Dim.AUTO
    program = torch.export.export(
        brightness(slopes), (torch.zeros(2, 1, 8, 8, 8),), dynamic_shapes=({0: free},)
    )
    torch.export.save(program, folder / "model.pt2")
    return _finish(folder, toml, runtime="torch-export", weights="model.pt2")


def bundle_config(classes: int) -> dict[str, object]:
    """Return ``inference.json`` as the zoo's segmentation bundles write it."""
    both = {"keys": "image"}
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "/workspace/data",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "torch.nn.Conv3d",
            "in_channels": 1,
            "out_channels": classes,
            "kernel_size": 1,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", **both},
                {"_target_": "EnsureChannelFirstd", **both},
                {"_target_": "Orientationd", **both, "axcodes": "RAS"},
                {"_target_": "Spacingd", **both, "pixdim": [1, 1, 1], "mode": "bilinear"},
                {"_target_": "NormalizeIntensityd", **both},
                {"_target_": "EnsureTyped", **both},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [8, 8, 8],
            "sw_batch_size": 2,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def bundle_metadata(classes: int) -> dict[str, object]:
    """Return ``metadata.json`` with what the zoo's schema requires."""
    patch = {
        "type": "image",
        "spatial_shape": [8, 8, 8],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
    }
    names = {str(i): name for i, name in enumerate(("background", "grey", "white")[:classes])}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json",
        "version": "0.1.0",
        "monai_version": "1.6.1",
        "pytorch_version": "2.13.0",
        "numpy_version": "2.4.6",
        "task": "Brightness",
        "description": "Tells levels of brightness apart",
        "authors": "Phantom Works",
        "copyright": "Phantom Works",
        "network_data_format": {
            "inputs": {
                "image": {
                    **patch,
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": 1,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    **patch,
                    "format": "segmentation",
                    "num_channels": classes,
                    "channel_def": names,
                }
            },
        },
    }


def write_bundle(
    folder: Path,
    *,
    toml: str = TOML,
    slopes: Slopes = SLOPES,
    config: dict[str, object] | None = None,
) -> Path:
    torch = pytest.importorskip("torch")
    pytest.importorskip("monai")
    root = folder / "bundle"
    for name in ("configs", "models", "docs"):
        (root / name).mkdir(parents=True)
    config = config or bundle_config(len(slopes))
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    (root / "configs" / "metadata.json").write_text(json.dumps(bundle_metadata(len(slopes))))
    torch.save(brightness(slopes).state_dict(), root / "models" / "model.pt")
    (root / "docs" / "README.md").write_text("Brightness\n")
    return _finish(folder, toml, runtime="monai-bundle", weights="bundle")


def write_remote(folder: Path, *, toml: str = TOML, slopes: Slopes = SLOPES) -> Path:
    """Return a package for a network that the Triton of `model_servers` has."""
    name = "narrow" if len(slopes) < CLASSES else "brightness"
    name = "nowhere" if any(map(math.isnan, slopes)) else name
    folder.mkdir(parents=True, exist_ok=True)
    where = f'server = "triton"\nmodel = "{name}"\nversion = "1"\n# {slopes}\n'
    (folder / "server.toml").write_text(where)
    return _finish(folder, toml, runtime="kserve", weights="server.toml")


def write_map(folder: Path, *, toml: str = TOML, slopes: Slopes = SLOPES) -> Path:
    """Return a package with an application that thinks as the brightness network does."""
    root = write_application(
        folder / "map",
        BRIGHTNESS,
        formats=[{"data": {"type": ["image"], "format": ["nifti"]}}],
    )
    model = root / "opt/holoscan/models/brightness/model.json"
    model.parent.mkdir()
    model.write_text(json.dumps({"slopes": slopes, "biases": BIASES[: len(slopes)]}))
    return _finish(folder, toml, runtime="monai-map", weights="map")


ONNX = Kind(name="onnx", write=write_package, runtime=OnnxRuntime, network="model.onnx")
KSERVE = Kind(
    name="kserve",
    write=write_remote,
    runtime=KserveRuntime,
    network="server.toml",
    unreadable="model-declaration",
    other_classes="server-model",
)
KINDS = (
    ONNX,
    Kind(
        name="torchscript",
        write=write_torchscript,
        runtime=TorchScriptRuntime,
        network="model.ts",
    ),
    Kind(
        name="torch-export",
        write=write_export,
        runtime=TorchExportRuntime,
        network="model.pt2",
        no_numbers="",
        unreadable="",
        other_classes="",
    ),
    Kind(
        name="monai-bundle",
        write=write_bundle,
        runtime=BundleRuntime,
        network="bundle/models/model.pt",
        unreadable="",
        other_classes="",
    ),
    Kind(
        name="monai-map",
        write=write_map,
        runtime=ApplicationRuntime,
        network="map/opt/holoscan/models/brightness/model.json",
        unreadable="application-failed",
        other_classes="",
    ),
    KSERVE,
)
