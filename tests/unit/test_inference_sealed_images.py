from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_packages import image_of, write_image_package
from PIL import Image as Pillow
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import write_digests
from clic_edge.inference.testset import replay, require_same, seal, sealed_volumes

if TYPE_CHECKING:
    from pathlib import Path

RED = np.arange(24) < np.full((16, 1), 10)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_image_package(tmp_path / "package")


def test_an_image_answers_as_it_was_sealed(package: Path) -> None:
    seal(package, "half", volume=image_of(RED), runtime=load_runtime(package))
    write_digests(package)
    (one,) = replay(package, load_runtime(package))
    assert (one.name, one.found, one.differing) == ("half", RED.sum(), 0)
    assert one.farthest < 1e-6
    require_same(one)
    assert not list(sealed_volumes(package))


def test_another_probability_is_another_answer(package: Path) -> None:
    path = seal(package, "half", volume=image_of(RED), runtime=load_runtime(package))
    with np.load(path) as stored:
        sealed = dict(stored)
    sealed["probabilities"][0] += 0.01
    np.savez(path, **sealed)
    write_digests(package)
    (one,) = replay(package, load_runtime(package))
    assert one.differing == 0
    with pytest.raises(Defect) as error:
        require_same(one)
    assert "0.010 away" in error.value.sentence
    sealed["probabilities"] = sealed["probabilities"][1:]
    np.savez(path, **sealed)
    write_digests(package)
    with pytest.raises(ConfigError) as broken:
        list(replay(package, load_runtime(package)))
    assert broken.value.code == "test-unreadable"


@pytest.mark.slow
def test_the_command_seals_a_photograph(package: Path, tmp_path: Path) -> None:
    Pillow.fromarray(np.asarray(image_of(RED).pixels)).save(tmp_path / "red.png")
    result = CliRunner().invoke(app, ["models", "seal", str(package), str(tmp_path / "red.png")])
    assert result.exit_code == 0, result.output
    checked = CliRunner().invoke(app, ["models", "check", str(package)])
    assert "test case red: 0 of" in checked.output
