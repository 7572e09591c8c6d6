"""What to do about an error, in the reader's language."""

from __future__ import annotations

import re
import tomllib

from remedies import FILE, OF_CASES, said

from clic_edge.pipeline.explaining import remedy

DANISH = FILE.with_name("remedies_da.toml")


def test_danish_is_of_codes_that_exist_and_names_no_other_command() -> None:
    danish = tomllib.loads(DANISH.read_text("utf-8"))
    english = {code: do for kind in OF_CASES for code, do in said()[kind].items()}
    assert danish.keys() <= english.keys()
    assert {code for code, do in danish.items() if _quoted(do) - _quoted(english[code])} == set()


def _quoted(text: str) -> set[str]:
    return set(re.findall("`([^`]+)`", text))


def test_a_reader_is_told_in_their_language_and_in_english_where_it_has_none() -> None:
    assert remedy("missing-slices", "en") == "Send the missing slices: they make a new case."
    assert remedy("missing-slices", "da").startswith("Send de manglende snit")
    assert remedy("audit-broken", "da") == remedy("audit-broken", "en") != ""
    assert remedy("no-such-code", "da") == ""
