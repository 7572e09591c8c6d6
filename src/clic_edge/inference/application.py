"""Runs a MONAI Application Package (MAP): a program that reads a folder and writes a folder.

The package's `weights` is a folder laid out as the application's container is, from its root::

    map/etc/holoscan/app.json   command, input, output, time-out
    map/etc/holoscan/pkg.json   where application and models lie
    map/opt/holoscan/app/       the application
    map/opt/holoscan/models/    its models
    map/image.tar               the container itself, if the package carries it

With ``image.tar`` and a container engine the container is run; else the command of ``app.json`` in
a confined process, with the paths of the container turned into those of the folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.confinement import (
    Program,
    environment,
    has_ended,
    kill,
    require_isolated,
    scratch,
    start,
)
from clic_edge.inference.container import Container, engine
from clic_edge.inference.label_files import read_labels
from clic_edge.inference.labelling import mean_by_label
from clic_edge.inference.manifest import IMAGE, places, read_manifests
from clic_edge.inference.package import load_package
from clic_edge.inference.predicting import Answer, PackageRuntime
from clic_edge.inference.site import HERE, Site
from clic_edge.inference.volume_files import write_dicom, write_nifti

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume
    from clic_edge.inference.package import ModelPackage
    from clic_edge.inference.transforms import NetworkGrid

_FOLDERS = ("input", "output", "logs")


class ApplicationRuntime(PackageRuntime):
    """A package whose `weights` is the folder of a MONAI Application Package."""

    @classmethod
    def load(cls, folder: Path, site: Site = HERE) -> Self:
        """Return a runtime for the package in `folder`.

        Raises
        ------
        ConfigError
            The folder holds no complete, well-formed package; as `read_manifests`;
            ``runtime-engine``: it needs a container engine, and there is none.
        Defect
            Its files changed since their digests were written.

        """
        package = load_package(folder)
        application = _Application(package, site)
        package.verify()
        return cls(package, application)


class _Application:
    """An application that is run once for each volume."""

    device = "cpu"

    def __init__(self, package: ModelPackage, site: Site) -> None:
        self._segments = len(package.declaration.segments)
        self._root = package.weights_path.resolve()
        self._app, self._pkg = read_manifests(self._root)
        self._site = site
        image = self._root / IMAGE
        found = engine() if image.is_file() else None
        self._container = Container.loaded(found, image) if found else None
        if not self._container and not (self._root / "opt/holoscan").is_dir():
            raise ConfigError(
                "runtime-engine",
                f"{self._root} is a container only, and neither podman nor docker works here.",
            )

    def __call__(
        self,
        voxels: NDArray[np.generic],
        volume: Volume,
        *,
        grid: NetworkGrid,  # noqa: ARG002 - an application lays out the voxels itself
    ) -> Answer:
        """Return the answer, as `Answering` says.

        Raises
        ------
        Defect
            ``application-failed``, ``runtime-timeout``; as `read_labels`.
        ConfigError
            ``isolation-unavailable``.

        """
        with scratch() as folder:
            for name in _FOLDERS:
                (folder / name).mkdir()
            if self._app.reads_nifti:
                write_nifti(folder / "input" / "image.nii.gz", volume, voxels)
            else:
                write_dicom(folder / "input", volume, voxels)
            begin = time.perf_counter()
            self._run(folder)
            seconds = time.perf_counter() - begin
            labels = read_labels(folder / "output", volume.geometry, segments=self._segments)
        sure = np.ones(labels.shape, np.float32)
        return Answer(
            label_map=labels,
            mean_probability=mean_by_label(sure, labels, classes=self._segments + 1),
            forward_seconds=seconds,
        )

    def _run(self, folder: Path) -> None:
        promised = places(self._app, self._pkg)
        if self._container:
            process = self._container.start(self._app, promised, folder=folder, site=self._site)
        else:
            process = self._start(promised, folder)
        seconds = min(self._app.timeout or self._site.seconds, self._site.seconds)
        try:
            ended = has_ended(process, within=seconds)
        finally:
            kill(process)
            if self._container:
                self._container.remove(folder)
        if not ended:
            raise Defect("runtime-timeout", f"The application took more than {seconds:g} seconds.")
        require_isolated(process)
        if status := process.returncode:
            raise Defect("application-failed", f"The application ended with status {status}.")

    def _start(self, promised: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        """Return the application as a confined process, told its real places."""
        real = {
            promised["HOLOSCAN_INPUT_PATH"]: folder / "input",
            promised["HOLOSCAN_OUTPUT_PATH"]: folder / "output",
            "/var/holoscan/logs": folder / "logs",
            "/var/holoscan/app.yaml": self._root / "var/holoscan/app.yaml",
            promised["HOLOSCAN_WORKDIR"]: folder,
            "/opt/holoscan": self._root / "opt/holoscan",
            "/etc/holoscan": self._root / "etc/holoscan",
        }
        told = {name: _real(value, real) for name, value in promised.items()}
        program = Program(
            argv=tuple(_real(word, real) for word in self._app.argv),
            reads=(self._root,),
            environment=told | environment(folder),
            folder=folder,
            dies_with_us=True,
        )
        with Path(os.devnull).open("wb") as nowhere:
            return start(program, self._site, status=nowhere.fileno())


def _real(text: str, real: Mapping[str, Path]) -> str:
    """Return a path of the container as it is here; anything else as it is."""
    for inside, here in real.items():
        if Path(text).is_relative_to(inside):
            return str(here / Path(text).relative_to(inside))
    return text
