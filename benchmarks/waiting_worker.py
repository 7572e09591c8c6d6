"""A worker whose model waits as a GPU would: it sleeps, one case at a time, and uses no core.

waiting_worker.py SETTINGS SECONDS
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge import assembly, telemetry
from clic_edge.app import Appliance, serve
from clic_edge.inference.loading import load_runtime

if TYPE_CHECKING:
    from clic_edge.domain.image import Image, InputKind
    from clic_edge.domain.prediction import ModelIdentity, Prediction
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.runtime import Runtime
    from clic_edge.inference.site import Site


class Waiting:
    """A runtime that holds the device for so many seconds, and then says what another says."""

    def __init__(self, runtime: Runtime, seconds: float) -> None:
        self._runtime = runtime
        self._seconds = seconds
        self._device = threading.Lock()

    @property
    def model(self) -> ModelIdentity:
        """As the package says."""
        return self._runtime.model

    @property
    def takes(self) -> InputKind:
        """As the package says."""
        return self._runtime.takes

    @property
    def needs(self) -> frozenset[str]:
        """As the package says."""
        return self._runtime.needs

    @property
    def device(self) -> str:
        """As the package says."""
        return self._runtime.device

    def predict(self, seen: Volume | Image | Slide, /) -> Prediction:
        """Wait, and predict."""
        with self._device:
            time.sleep(self._seconds)
            return self._runtime.predict(seen)


def main() -> None:
    """Serve until told to stop."""
    seconds = float(sys.argv[2])

    def load(folder: Path, site: Site) -> Waiting:
        return Waiting(load_runtime(folder, site), seconds)

    assembly.load_runtime = load  # type: ignore[assignment]  # of this process alone
    telemetry.configure_logging("info")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serve(Appliance.open(Path(sys.argv[1])), stop)


main()
