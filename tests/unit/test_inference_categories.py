"""Logits become probabilities, and probabilities a decision, as the package says."""

from __future__ import annotations

import numpy as np
import pytest

from clic_edge.domain.prediction import Code
from clic_edge.inference.categories import categories_of
from clic_edge.inference.image_input import Category, Question

ASKED = Code(value="246112005", scheme="SCT", meaning="Severity")


def ask(activation: str, logits: list[float], *thresholds: float | None) -> dict[str, float]:
    """Return the probability of each category by name; a chosen one's name is in capitals."""
    count = len(logits) + (activation == "ordinal")
    categories = tuple(
        Category(
            name=f"g{k}",
            label=f"Grade {k}",
            value=Code(value=str(k), scheme="99TEST", meaning=str(k)),
            threshold=thresholds[k] if thresholds else None,
        )
        for k in range(count)
    )
    question = Question.model_validate(
        {"concept": ASKED, "activation": activation, "categories": categories}
    )
    found = categories_of([question], np.array(logits, np.float32))
    return {one.name.upper() if one.chosen else one.name: one.probability for one in found}


def test_of_exclusive_answers_the_most_probable_is_chosen() -> None:
    assert list(ask("softmax", [0, 2, 1])) == ["g0", "G1", "g2"]


def test_a_threshold_that_is_reached_goes_before_a_larger_probability() -> None:
    assert list(ask("softmax", [1, 0], None, 0.2)) == ["g0", "G1"]
    assert list(ask("softmax", [1, 0], None, 0.3)) == ["G0", "g1"]


def test_an_answer_below_its_threshold_is_not_chosen_however_probable_it_is() -> None:
    assert list(ask("softmax", [0, 1], None, 0.9)) == ["G0", "g1"]


def test_independent_answers_may_all_be_right_or_none() -> None:
    assert list(ask("sigmoid", [1, 2, -1])) == ["G0", "G1", "g2"]
    assert list(ask("sigmoid", [-1, -2])) == ["g0", "g1"]
    assert list(ask("sigmoid", [1, -1], 0.9, 0.1)) == ["g0", "G1"]


def test_of_grades_the_median_is_chosen_which_need_not_be_the_most_probable() -> None:
    found = ask("ordinal", [0.7, 0.1, -0.4])
    assert list(found) == ["g0", "g1", "G2", "g3"]
    assert max(found, key=found.__getitem__) == "g3"


def test_grades_have_no_negative_probability_when_logits_are_out_of_order() -> None:
    found = ask("ordinal", [-1, 3])
    assert min(found.values()) >= 0
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "ordinal"])
def test_huge_logits_stay_numbers(activation: str) -> None:
    found = ask(activation, [1e4, -1e4])
    assert all(np.isfinite(list(found.values())))


def test_a_temperature_of_two_halves_the_logits() -> None:
    category = {"label": "a", "value": ASKED}
    table = {
        "concept": ASKED,
        "activation": "softmax",
        "temperature": 2.0,
        "categories": (category | {"name": "a"}, category | {"name": "b"}),
    }
    (found, _) = categories_of([Question.model_validate(table)], np.array([3, 1], np.float32))
    assert found.probability == pytest.approx(1 / (1 + np.exp(-1)))
