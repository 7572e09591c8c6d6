"""Features have a name that people read, in both languages, wherever one is shown."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from clic_edge.board.naming import called

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "prediction-log.md"
CHARTS = ("rate.refused", "rate.failed", "rate.overridden", "odd.studies")
OURS = re.compile(r"^\| `((?:input|output|agreement|seconds)\.[\w.]+)` ", re.MULTILINE)


def test_every_feature_of_the_prediction_log_has_a_name_in_both_languages() -> None:
    features = [*OURS.findall(PAGE.read_text("utf-8")), *CHARTS]
    assert len(features) > 80
    for feature in features:
        for language in ("en", "da"):
            assert called(feature, language) != feature, feature


def test_every_name_is_said_in_both_languages_and_names_what_it_is_of() -> None:
    told = tomllib.loads((files("clic_edge.board") / "features.toml").read_text("utf-8"))
    for feature, said in told.items():
        assert set(said) == {"en", "da"}, feature
        for words in said.values():
            assert ("{of}" in words) == ("*" in feature), feature


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("output.left anterior.volume_mm3", "volume of left anterior, mm³"),
        ("output.a.b.volume_mm3", "volume of a.b, mm³"),
        ("output.entropy", "entropy of the answer, bits"),
        ("input.convolution_kernel=Br40=d", "convolution kernel = Br40=d"),
        ("embedding.7", "embedding.7"),
        ("stratum", "stratum"),
    ],
)
def test_a_chart_is_called_by_what_it_shows_and_the_unknown_by_its_own_name(
    name: str, words: str
) -> None:
    assert called(name, "en") == words
