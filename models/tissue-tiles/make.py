"""Write the network of this package: colour deconvolution as ONNX, and two means of it.

Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution",
Analytical and Quantitative Cytology and Histology 2001, 23:291-299: the vectors of the dyes.

    .venv/bin/python models/tissue-tiles/make.py
    .venv/bin/clic-edge models sign models/tissue-tiles --key build/signing/clic-edge-development
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import write_digests
from clic_edge.inference.slide_testset import seal_slide

FOLDER = Path(__file__).parent
HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)
GLASS = 245.0
"""What a channel shows where all light comes through."""
NUCLEUS = 0.3
"""From this optical density of haematoxylin upward a pixel counts as nucleus; chosen by eye."""

RADIUS = 4
"""Of a nucleus that is drawn, in pixels."""


def unmixing() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return shape (1, 3, 1, 1): what of red, green and blue density is haematoxylin's."""
    dyes = np.array([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    return np.linalg.inv(dyes)[:, 0].astype(np.float32).reshape(1, 3, 1, 1)


def network() -> bytes:
    """Return the network: (n, 3, rows, columns) of 0 to 255 in, (n, 2) out."""
    constants = {
        "one": np.float32(1),
        "glass": np.float32(GLASS),
        "zero": np.float32(0),
        "per_decade": np.float32(-1 / np.log(10)),
        "nucleus": np.float32(NUCLEUS),
        "unmixing": unmixing(),
        "pixels": np.array([2, 3], np.int64),
    }
    nodes = [
        ("Max", ["tiles", "one"], "light"),
        ("Div", ["light", "glass"], "share"),
        ("Log", ["share"], "logarithm"),
        ("Mul", ["logarithm", "per_decade"], "signed"),
        ("Max", ["signed", "zero"], "density"),
        ("Conv", ["density", "unmixing"], "mixed"),
        ("Max", ["mixed", "zero"], "haematoxylin"),
        ("ReduceMean", ["haematoxylin", "pixels"], "mean"),
        ("GreaterOrEqual", ["haematoxylin", "nucleus"], "nuclei"),
        ("Cast", ["nuclei"], "counted"),
        ("ReduceMean", ["counted", "pixels"], "area"),
        ("Concat", ["area", "mean"], "scores"),
    ]
    more = {
        "Cast": {"to": TensorProto.FLOAT},
        "Concat": {"axis": 1},
        "ReduceMean": {"keepdims": 0},
    }
    graph = helper.make_graph(
        [
            helper.make_node(kind, given, [made], **more.get(kind, {}))
            for kind, given, made in nodes
        ],
        "tissue-tiles",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["n", 3, "rows", "columns"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


def picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a drawn slide for the sealed test set: pink tissue, nuclei from sparse to dense."""
    dyes = np.array([HAEMATOXYLIN, EOSIN])
    amounts = np.zeros((512, 768, 2))
    amounts[64:448, 64:704] = 0.08, 0.4
    y, x = np.mgrid[:512, :768]
    for step, left in ((40, 64), (20, 280), (12, 500)):
        away = np.hypot((x - left) % step - step / 2, (y - 64) % step - step / 2)
        here = (x >= left) & (x < left + 204) & (amounts[..., 1] > 0)
        amounts[(away <= RADIUS) & here] = 0.9, 0.2
    return np.clip(np.round(GLASS * 10 ** -(amounts @ dyes)), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    (FOLDER / "model.onnx").write_bytes(network())
    write_digests(FOLDER)
    seal_slide(
        FOLDER / "test" / "drawn.npz", picture(), spacing_mm=0.001, runtime=load_runtime(FOLDER)
    )
    print(write_digests(FOLDER).digest)
