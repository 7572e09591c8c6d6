"""A container engine, podman or docker, where there is one: for applications that carry an image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clic_edge.inference.manifest import App
    from clic_edge.inference.site import Site

_ENGINES = ("podman", "docker")
_INFO_SECONDS, _LOAD_SECONDS = 20, 600
_MOST_PROCESSES = 512
_IDENTITY = re.compile(r"(sha256:)?[0-9a-f]{64}")


def engine() -> str | None:
    """Return the program of an engine that works here, or None."""
    for name in _ENGINES:
        path = shutil.which(name)
        if path and _said(path, "info", seconds=_INFO_SECONDS) is not None:
            return path
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An image that an engine has."""

    engine: str
    image: str
    """Its digest in the engine: a name would be moved by the next archive that has it too."""

    @classmethod
    def loaded(cls, program: str, path: Path) -> Self:
        """Return the image in an archive. Raises Defect ``network-unreadable``."""
        said = _said(program, "load", "--input", str(path), seconds=_LOAD_SECONDS) or ""
        named = re.findall(r"^Loaded image(?: ID|\(s\))?: (\S+)", said, flags=re.MULTILINE)
        if len(named) != 1:
            raise Defect("network-unreadable", f"{path} is no archive of one container image.")
        asked = ("image", "inspect", "--format", "{{.Id}}", named[0])
        # The next archive may bring another image under the same name.
        identity = (_said(program, *asked, seconds=_INFO_SECONDS) or "").strip()
        if not _IDENTITY.fullmatch(identity):
            raise Defect("network-unreadable", f"The engine does not know the image of {path}.")
        return cls(engine=program, image=identity)

    def start(
        self, app: App, promised: Mapping[str, str], *, folder: Path, site: Site
    ) -> subprocess.Popen[bytes]:
        """Return the container, running over ``input`` and ``output`` in `folder`.

        It has no network and no privilege, a root that it can't write to, and bounded memory.
        """
        command = [
            *(self.engine, "run", "--rm", "--name", folder.name, "--network", "none"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
            *("--memory", f"{site.memory_mb}m", "--pids-limit", str(_MOST_PROCESSES)),
            *("--tmpfs", "/tmp", "--workdir", promised["HOLOSCAN_WORKDIR"]),  # noqa: S108 - the container's own
            *self._user(),
            *("--volume", f"{folder / 'input'}:{promised['HOLOSCAN_INPUT_PATH']}:ro"),
            *("--volume", f"{folder / 'output'}:{promised['HOLOSCAN_OUTPUT_PATH']}:rw"),
            *(word for item in promised.items() for word in ("--env", "=".join(item))),
            *(self.image, *app.argv),
        ]
        return subprocess.Popen(  # noqa: S603 - an image that the digests cover
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def remove(self, folder: Path) -> None:
        """End the container that runs over `folder`, if it still does."""
        _said(self.engine, "rm", "--force", folder.name, seconds=_INFO_SECONDS)

    def _user(self) -> tuple[str, ...]:
        """Return under whom it writes: docker's root is the machine's, podman's is ours."""
        is_docker = Path(self.engine).name == "docker"
        return ("--user", f"{os.getuid()}:{os.getgid()}") if is_docker else ()


def _said(program: str, *words: str, seconds: float) -> str | None:
    """Return what an engine says, or None where it fails."""
    try:
        ran = subprocess.run(  # noqa: S603 - an engine on the PATH
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout
