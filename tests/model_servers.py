"""Real servers of networks by the KServe v2 protocol, from environments of their own.

``make servers`` installs them under ``build``; they don't fit beside our own pins.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers import free_port

from clic_edge.inference.site import Server, Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUILD = Path(__file__).resolve().parent.parent / "build"
START_SECONDS = 60.0
NETWORKS = {
    "brightness": [0, 10, 30],
    "narrow": [0, 10],
    "nowhere": [0, 10, float("nan")],
    "half": [0, 10, 30],
}
"""Name and slopes, the last one served: the brightness network; one with two classes; one whose
third is no number; and one that takes half precision."""
TRITON_SCRIPT = """
import sys
import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

def network(slopes):
    slopes = np.array(slopes).reshape(1, -1, 1, 1, 1)
    bias = np.array([0, 0, -40][:slopes.size]).reshape(1, -1, 1, 1, 1)
    @batch
    def infer(image):
        return [(image * slopes + bias).astype(image.dtype)]
    return infer

port = int(sys.argv[1])
ports = TritonConfig(
    http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False
)
with Triton(config=ports, workspace=sys.argv[2]) as server:
    for name, slopes in {slopes}.items():
        kind = np.float16 if name == "half" else np.float32
        any_size = (-1, -1, -1)
        server.bind(
            model_name=name,
            infer_func=network(slopes),
            inputs=[Tensor(name="image", dtype=kind, shape=(1, *any_size))],
            outputs=[Tensor(name="logits", dtype=kind, shape=(len(slopes), *any_size))],
            config=ModelConfig(max_batch_size=64),
        )
    server.serve()
"""
MLSERVER_MODEL = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

slopes = np.array([0, 10, 30]).reshape(1, -1, 1, 1, 1)
bias = np.array([0, 0, -40]).reshape(1, -1, 1, 1, 1)

class Brightness(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        image = NumpyCodec.decode_input(payload.inputs[0])
        logits = (image * slopes + bias).astype(np.float32)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)]
        )
"""


@contextmanager
def triton(folder: Path) -> Iterator[Site]:
    """Yield the site of a Triton that serves all of `NETWORKS`, or skip where there is none."""
    python = BUILD / "pytriton" / "bin" / "python"
    if not python.exists():
        pytest.skip("no Triton: `make servers` installs it under build/pytriton")
    script = folder / "serve.py"
    script.write_text(TRITON_SCRIPT.replace("{slopes}", str(NETWORKS).replace("nan", "np.nan")))
    port = free_port()
    command = [str(python), str(script), str(port), str(folder / "workspace")]
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    with _running(command, environment, folder, port=port, model="half") as url:
        yield Site(servers=(Server(name="triton", url=url),))


@contextmanager
def mlserver(folder: Path) -> Iterator[Site]:
    """Yield the site of an MLServer that serves the brightness network, or skip."""
    python = BUILD / "mlserver" / "bin" / "python"
    if not python.exists():
        pytest.skip("no MLServer: `make servers` installs it under build/mlserver")
    (folder / "model.py").write_text(MLSERVER_MODEL)
    tensor = {"datatype": "FP32", "shape": [-1, 1, -1, -1, -1]}
    settings = {
        "name": "brightness",
        "implementation": "model.Brightness",
        "parameters": {"version": "1"},
        "inputs": [{"name": "image", **tensor}],
        "outputs": [{"name": "logits", **tensor, "shape": [-1, 3, -1, -1, -1]}],
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
    port = free_port()
    served = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "use_structured_logging": False,
    }
    (folder / "settings.json").write_text(json.dumps(served))
    start = "from mlserver.cli import main; main()"
    command = [str(python), "-c", start, "start", str(folder)]
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    with _running(command, environment, folder, port=port, model="brightness") as url:
        yield Site(servers=(Server(name="mlserver", url=url),))


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], folder: Path, *, port: int, model: str
) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
        try:
            _await(f"{url}/v2/models/{model}/versions/1/ready", process, folder / "server.log")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - of a server that we started
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")
