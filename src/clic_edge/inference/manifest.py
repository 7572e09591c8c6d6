"""The two manifests of a MONAI Application Package: ``app.json`` and ``pkg.json``.

References: MONAI Deploy, MONAI Application Package; NVIDIA, Holoscan Application Package.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

APP, PKG = "etc/holoscan/app.json", "etc/holoscan/pkg.json"
IMAGE = "image.tar"
"""The application as a container, where the package carries that."""


class _Told(BaseModel):
    """A table of a manifest: keys that we don't need do no harm."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Input(_Told):
    path: str = "input/"
    formats: JsonValue = None


class _Output(_Told):
    path: str = "output/"


class App(_Told):
    """How an application is run."""

    command: str
    environment: dict[str, str] = Field(default_factory=dict)
    input: _Input
    output: _Output
    timeout: float = Field(default=0, ge=0)
    """Seconds; 0 for no limit of its own."""
    working_directory: str = Field(default="/var/holoscan/", alias="workingDirectory")

    @property
    def argv(self) -> tuple[str, ...]:
        """The command in words; the packager writes it as a JSON array within the string."""
        if self.command.lstrip().startswith("["):
            return tuple(str(word) for word in json.loads(self.command))
        return tuple(shlex.split(self.command))

    @property
    def reads_nifti(self) -> bool:
        """Whether the input's formats speak of NIfTI; the SDK's own operators read DICOM."""
        return "nifti" in json.dumps(self.input.formats).lower()


class Pkg(_Told):
    """Where in the container what lies."""

    application_root: str = Field(default="/opt/holoscan/app/", alias="applicationRoot")
    model_root: str = Field(default="/opt/holoscan/models/", alias="modelRoot")


def read_manifests(root: Path) -> tuple[App, Pkg]:
    """Return both manifests of the application whose file system begins at `root`.

    Raises
    ------
    ConfigError
        ``model-incomplete``: one is missing; ``model-application``: one is wrong, or its command
        names nothing.

    """
    try:
        app = App.model_validate_json((root / APP).read_bytes())
        pkg = Pkg.model_validate_json((root / PKG).read_bytes())
        argv = app.argv
    except OSError as error:
        name = Path(error.filename).name
        raise ConfigError("model-incomplete", f"{root} holds no readable {name}.") from error
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            "model-application", f"{APP} or {PKG} in {root} is not as MONAI Deploy has it."
        ) from error
    if not argv:
        raise ConfigError("model-application", f"The 'command' of {APP} in {root} is empty.")
    return app, pkg


def places(app: App, pkg: Pkg) -> Mapping[str, str]:
    """Return the variables that an application is promised, with their paths in the container."""
    working = Path(app.working_directory)
    promised = {
        "HOLOSCAN_INPUT_PATH": str(working / app.input.path),
        "HOLOSCAN_OUTPUT_PATH": str(working / app.output.path),
        "HOLOSCAN_WORKDIR": str(working),
        "HOLOSCAN_APPLICATION": pkg.application_root,
        "HOLOSCAN_MODEL_PATH": pkg.model_root,
        "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
        "HOLOSCAN_APP_MANIFEST_PATH": f"/{APP}",
        "HOLOSCAN_PKG_MANIFEST_PATH": f"/{PKG}",
        "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
        "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
    }
    return {**app.environment, **promised}
