"""What a run leaves behind, in plain files.

```
runs/hippocampus-3f2a91c07b/
  settings.toml   the recipe with every default, and what was trained on
  metrics.csv     a line for each epoch
  curves.svg      the same as a picture, after each look at the stopping cases
  checkpoint.pt   all that is needed to go on, and the best weights
  log.jsonl       what happened when, a JSON object on each line
```

A run is named by its settings and its data: asked for again, it is the same run. Table and picture
are written from the checkpoint, so that they never tell more than it holds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch

from clic_edge.errors import ConfigError
from clic_edge.training.curves import draw_curves
from clic_edge.training.toml_text import to_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from clic_edge.training.learning import Epoch, Learner, State

RUNS = "runs"
_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run and its folder."""

    folder: Path
    settings: str
    """The content of ``settings.toml``."""
    segments: tuple[str, ...]

    @classmethod
    def named(
        cls, out: Path, name: str, *, settings: Mapping[str, object], segments: Iterable[str]
    ) -> Run:
        """Return the run of these settings, below `out`; its folder need not be there yet."""
        text = to_toml(settings)
        folder = out / RUNS / f"{name}-{_sha256(text)[:_DIGITS]}"
        return cls(folder=folder, settings=text, segments=tuple(segments))

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def digest(self) -> str:
        """SHA-256 of the settings."""
        return _sha256(self.settings)

    @property
    def checkpoint(self) -> Path:
        """The last state."""
        return self.folder / "checkpoint.pt"

    def begin(self, *, resume: bool) -> None:
        """Make the folder. Raises ConfigError ``run-exists`` where it was begun and not to resume."""
        if self.checkpoint.exists() and not resume:
            raise ConfigError(
                "run-exists",
                f"{self.folder} holds this very run; --resume goes on with it.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / "settings.toml", self.settings.encode())

    def load(self) -> State:
        """Return the last state.

        Raises ConfigError ``checkpoint-unreadable``.
        """
        return load_checkpoint(self.checkpoint)

    def save(self, learner: Learner) -> None:
        """Write the state in one move, and the table of what it holds."""
        buffer = io.BytesIO()
        torch.save(learner.state(), buffer)
        _write(self.checkpoint, buffer.getvalue())
        _write(self.folder / "metrics.csv", self._table(learner.history).encode())

    def draw(self, learner: Learner) -> None:
        """Write the picture of what the state holds."""
        picture = draw_curves(learner.history, self.segments, best=learner.best_epoch)
        _write(self.folder / "curves.svg", picture)

    def log(self, event: str, **told: float | str) -> None:
        """Add a line to the log: what happened, and when."""
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **told}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _table(self, history: Iterable[Epoch]) -> str:
        buffer = io.StringIO()
        table = csv.writer(buffer, lineterminator="\n")
        names = (f"dice.{name}" for name in self.segments)
        table.writerow(("epoch", "loss", "rate", "seconds", "dice", *names))
        for one in history:
            seen = one.dice or (None,) * len(self.segments)
            numbers = (one.loss, one.rate, one.seconds, one.mean_dice, *seen)
            table.writerow((one.epoch, *("" if n is None else f"{n:.6g}" for n in numbers)))
        return buffer.getvalue()


def load_checkpoint(path: Path) -> State:
    """Return the state in a checkpoint; no code in it runs.

    Raises ConfigError ``checkpoint-unreadable``.
    """
    try:
        state: State = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ConfigError("checkpoint-unreadable", f"{path} is no checkpoint of ours.") from error
    return state


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole, or as it was: also when the power fails."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
