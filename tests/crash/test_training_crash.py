"""A training that is killed goes on, and comes to the weights that it would have come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from source import ROOT
from training_lessons import Quiet, write_boxes, write_lesson

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from clic_edge.training.planning import Order, plan_training  # noqa: E402 - needs the extra
from clic_edge.training.train import Trained, train  # noqa: E402 - as above

SCRIPT = Path(__file__).with_name("dying_training.py")


def order(folder: Path, out: str) -> Order:
    return Order(package=folder / "brightness", data=folder / "data", out=folder / out)


def whole(folder: Path, out: str, *, resume: bool) -> tuple[Trained, Quiet]:
    quiet = Quiet()
    return train(plan_training(order(folder, out)), quiet, resume=resume), quiet


def die(folder: Path, epoch: int) -> None:
    paths = (ROOT / "src", ROOT / "tests")
    words = [folder / "brightness", folder / "data", folder / "killed", epoch]
    died = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
    )
    assert died.returncode == -signal.SIGKILL, died.stderr


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_lesson(tmp_path / "brightness")
    write_boxes(tmp_path / "data")
    die(tmp_path, 4)
    (run,) = (tmp_path / "killed" / "runs").iterdir()
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 3, "what it had, it kept"
    # As a power cut in the middle of writing leaves it.
    (run / "checkpoint.pt.new").write_bytes((run / "checkpoint.pt").read_bytes()[:1000])
    resumed, quiet = whole(tmp_path, "killed", resume=True)
    assert quiet.said[0] == "3 of 4"
    expected, _ = whole(tmp_path, "whole", resume=False)
    for name in ("model.onnx", "split.json", "training.toml"):
        ours, theirs = resumed.package / name, expected.package / name
        assert ours.read_bytes() == theirs.read_bytes(), name
