"""Runs a package whose network a server runs, by the KServe v2 protocol over REST.

The package's `weights` is a small TOML file that says which of the site's servers, and what it
calls the network there::

    server = "triton"         # in the site's settings: [runtimes.servers.triton]
    model = "hippocampus"
    version = "1"

Windows go out and logits come back: numbers, and nothing that says whose. Where the server has the
extension ``binary_tensor_data``, as Triton has, they go as bytes; else as JSON, which all read.

References: KServe, Open Inference Protocol (V2); Triton, Binary Tensor Data Extension.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.card import Table
from clic_edge.inference.looking import ImageRuntime
from clic_edge.inference.model_server import ModelServer, Question
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import PackageRuntime
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.windowed import Windowed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.inference.model_server import Reply
    from clic_edge.inference.runtime import Runtime

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "binary_tensor_data"
_DTYPES: dict[str, np.dtype[np.floating]] = {"FP32": np.dtype("<f4"), "FP16": np.dtype("<f2")}
_MOST_LOGITS = 256
"""Times its input that a network may return."""
_LONGEST_NUMBER = 26
"""Bytes of a number and its comma in JSON."""
_HEAD_BYTES = 1 << 16
_DIMENSIONS = 5
"""Of logits: windows, classes, x, y, z."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Goes into an address, so it can name no other place."""
_ToldT = TypeVar("_ToldT", bound="_Told")


class Remote(Table):
    """The file that `weights` names."""

    server: Name
    model: Name
    version: Name
    """A server that changes a network gives it another."""


class _Told(BaseModel):
    """What comes from a server: keys that we don't know do no harm."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Tensor(_Told):
    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 is any."""


class _Network(_Told):
    inputs: tuple[_Tensor, ...] = ()
    outputs: tuple[_Tensor, ...] = ()


class _Server(_Told):
    extensions: tuple[str, ...] = ()


class _Parameters(_Told):
    binary_data_size: int | None = None


class _Output(_Tensor):
    parameters: _Parameters | None = None
    data: tuple[float, ...] | None = None

    @property
    def size(self) -> int | None:
        """Bytes behind the JSON; None where the numbers stand in it."""
        return self.parameters.binary_data_size if self.parameters else None


class _Answer(_Told):
    outputs: tuple[_Output, ...]


class KserveRuntime(PackageRuntime):
    """A package whose network a server of the site runs."""

    @classmethod
    def load(cls, folder: Path, site: Site = HERE) -> Runtime:
        """Return a runtime for the package in `folder`, after the server was asked for its network.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package; the site has no such server
            (``server-unknown``), or can't be sure who it is (``server-untrusted``).
        Transient
            ``server-unreachable``: it does not answer, or has not loaded the network yet.
        Defect
            The package's files changed; ``server-model``: the server has no such network, or one
            that takes or gives something else than the package declares.

        """
        package = load_package(folder)
        network = RemoteNetwork(read_remote(package.weights_path), site)
        package.verify()
        if package.declaration.image:
            return ImageRuntime(package, network)
        network.require(len(package.declaration.segments) + 1)
        return cls(package, Windowed(network, package.declaration))


class RemoteNetwork:
    """A network on a server. Raises as `KserveRuntime.load` where there is none."""

    def __init__(self, remote: Remote, site: Site) -> None:
        self._server = ModelServer(remote.server, site)
        self._path = f"v2/models/{remote.model}/versions/{remote.version}"
        self._server.ask(f"{self._path}/ready")
        told = _told(self._server.ask(self._path), _Network)
        if [one.datatype in _DTYPES for one in told.inputs] != [True] or not told.outputs:
            raise Defect("server-model", f"The network on {remote.server} takes no single image.")
        (self._input,) = told.inputs
        self._outputs = told.outputs
        self._binary = BINARY in _told(self._server.ask("v2"), _Server).extensions

    @property
    def device(self) -> str:
        """The name of the server."""
        return self._server.name

    def require(self, classes: int) -> None:
        """Return where the server says of the network what its package does; raises Defect."""
        shapes = [one.shape for one in self._outputs]
        fits = [len(shape) == _DIMENSIONS and shape[1] in {-1, classes} for shape in shapes]
        if fits != [True]:
            raise Defect(
                "server-model", f"The network on {self.device} does not return {classes} classes."
            )

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, as `Network` says; raises Transient too, where the server is away."""
        (logits, *_) = self.outputs(windows).values()
        return logits

    def outputs(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name, as `Seeing` says."""
        values = np.ascontiguousarray(images, _DTYPES[self._input.datatype])
        answer = self._server.ask(f"{self._path}/infer", self._question(values))
        try:
            return _arrays(answer)
        except (ValueError, KeyError) as error:
            raise Defect(
                "network-failed", f"The server {self.device} answers what is no tensor."
            ) from error

    def _question(self, values: NDArray[np.generic]) -> Question:
        raw = values.tobytes() if self._binary else b""
        given = {"parameters": {"binary_data_size": len(raw)}} if raw else {"data": _plain(values)}
        wanted = {"parameters": {"binary_data": True}} if raw else {}
        named = {"name": self._input.name, "datatype": self._input.datatype}
        head = json.dumps(
            {
                "inputs": [{**named, "shape": values.shape, **given}],
                "outputs": [{"name": one.name, **wanted} for one in self._outputs],
            }
        ).encode()
        return Question(
            content=head + raw,
            headers={HEADER_LENGTH: str(len(head))}
            if raw
            else {"Content-Type": "application/json"},
            most_bytes=_HEAD_BYTES + _MOST_LOGITS * values.size * _LONGEST_NUMBER,
        )


def read_remote(path: Path) -> Remote:
    """Return which network on which server a package names. Raises ConfigError."""
    try:
        return Remote.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValidationError, ValueError, RecursionError) as error:
        raise ConfigError(
            "model-declaration",
            f"{path} does not say 'server', 'model' and 'version', each a name.",
        ) from error


def _plain(values: NDArray[np.generic]) -> list[float]:
    numbers: list[float] = values.ravel().tolist()
    return numbers


def _told(reply: Reply, kind: type[_ToldT]) -> _ToldT:
    try:
        return kind.model_validate_json(reply.content)
    except ValidationError as error:
        raise Defect("server-model", "A server does not speak the KServe v2 protocol.") from error


def _arrays(reply: Reply) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of an answer; their bytes lie behind the JSON, in its order."""
    content = reply.content
    at = int(reply.headers.get(HEADER_LENGTH, len(content)))
    arrays = {}
    for output in _Answer.model_validate_json(content[:at]).outputs:
        dtype = _DTYPES[output.datatype]
        if output.size is None:
            values = np.array(output.data, dtype)
        else:
            values = np.frombuffer(content[at : at + output.size], dtype)
            at += output.size
        arrays[output.name] = values.reshape(output.shape).astype(np.float32)
    return arrays
