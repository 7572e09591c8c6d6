"""What to do about an error is said once, in docs/reference/errors.md, and the product says the same.

`src/clic_edge/pipeline/remedies.toml` is written anew by `python tests/unit/test_remedies.py`.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a program
from source import ROOT

from clic_edge.pipeline.explaining import remedy

PAGE = ROOT / "docs" / "reference" / "errors.md"
FILE = ROOT / "src" / "clic_edge" / "pipeline" / "remedies.toml"
DANISH = ROOT / "src" / "clic_edge" / "pipeline" / "remedies_da.toml"
OF_CASES = ("Refusal", "Transient", "Defect")


def said() -> dict[str, dict[str, str]]:
    """Return what the page says to do, by class and code, without its links."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"(?m)^## ", PAGE.read_text("utf-8"))[1:]:
        kind = section.partition("\n")[0].strip()
        rows = re.findall(r"(?m)^\| `([a-z0-9-]+)` \|.*\| (.*) \|$", section)
        found[kind] = {code: re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", do) for code, do in rows}
    return found


def generated() -> str:
    """Return the file that the page makes."""
    lines = [
        "# What to do about each error: written by tests/unit/test_remedies.py from",
        "# docs/reference/errors.md, where it is said. Danish stands in remedies_da.toml.",
        "",
    ]
    of_cases = {code: do for kind in OF_CASES for code, do in said()[kind].items()}
    lines += [
        f"{code} = {json.dumps(do, ensure_ascii=False)}" for code, do in sorted(of_cases.items())
    ]
    return "\n".join(lines) + "\n"


def test_page_and_product_say_the_same() -> None:
    assert FILE.read_text("utf-8") == generated(), "run: python tests/unit/test_remedies.py"


def test_danish_is_of_codes_that_exist_and_of_every_refusal_of_a_study() -> None:
    danish = tomllib.loads(DANISH.read_text("utf-8"))
    english = said()
    known = {code for kind in OF_CASES for code in english[kind]}
    assert danish.keys() <= known
    told = ROOT / "src" / "clic_edge" / "results" / "meanings_da.toml"
    assert tomllib.loads(told.read_text("utf-8"))["refusal"].keys() <= danish.keys()
    commands = {code: set(re.findall("`([^`]+)`", do)) for code, do in danish.items()}
    assert {code for code in danish if commands[code] - _commands(english, code)} == set()


def _commands(english: dict[str, dict[str, str]], code: str) -> set[str]:
    (do,) = [english[kind][code] for kind in OF_CASES if code in english[kind]]
    return set(re.findall("`([^`]+)`", do))


def test_a_reader_is_told_in_their_language_and_in_english_where_it_has_none() -> None:
    assert remedy("missing-slices", "en") == "Send the missing slices: they make a new case."
    assert remedy("missing-slices", "da").startswith("Send de manglende snit")
    assert remedy("wrong-patient", "en") == "Report it; nothing was sent."
    assert remedy("no-such-code", "da") == ""


if __name__ == "__main__":
    FILE.write_text(generated(), encoding="utf-8")
