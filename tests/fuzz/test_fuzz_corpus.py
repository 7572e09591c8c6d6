"""What the fuzzer found and what it started from, replayed without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from every import every
from fuzz import targets
from fuzz.entrance_seeds import CORPORA
from fuzz.entrances import ENTRANCES
from fuzz.seeds import seeds

CORPUS = Path(__file__).resolve().parent / "corpus"
INPUTS = sorted(CORPUS.iterdir())


@pytest.mark.timeout(120)
@every(INPUTS, named=lambda path: path.name)
def test_an_input_of_the_corpus_ends_in_elements_or_in_an_error_by_name(path: Path) -> None:
    targets.read(path.read_bytes())
    targets.clean(path.read_bytes())


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_was_found_at_an_entrance_stays_mended(entrance: str) -> None:
    for path in sorted((CORPORA / entrance).iterdir()):
        ENTRANCES[entrance](path.read_bytes())


def test_the_corpus_is_small_and_begins_with_what_code_makes() -> None:
    assert sum(path.stat().st_size for path in INPUTS) <= 200_000
    assert seeds().keys() <= {path.name for path in INPUTS}
