"""What a site grants the runtimes of its models: the table `[runtimes]`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

from clic_edge.config.toml import RelativePath, Strict, WebAddress

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _encrypted(url: str) -> str:
    """Voxels of a head show a face: they cross a wire under TLS, or not at all."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise PydanticCustomError("url", "should begin with 'https://', unless it is this machine")
    return url


class ModelServer(Strict):
    """A server that runs networks by the KServe v2 protocol."""

    url: Annotated[WebAddress, AfterValidator(_encrypted)]
    """Root of its REST interface, e.g. `https://triton.hospital:8000`."""
    ca_file: RelativePath | None = None
    """PEM file of who is trusted to certify it; default the system's."""
    token_file: RelativePath | None = None
    """File whose first line is sent as a bearer token."""


class Runtimes(Strict):
    """What models may use."""

    providers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Execution providers of ONNX Runtime, best first; default CUDA, then CPU."""
    seconds: PositiveFloat = 600.0
    """How long a process or a server may take for one answer."""
    memory_mb: PositiveInt = 16384
    """MiB that the process of a TorchScript, bundle or application may address."""
    servers: Annotated[Mapping[str, ModelServer], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict
    )
    """Servers that packages may name; no other address is ever asked."""
