"""What to do about an error is said once, in docs/reference/errors.md, and the product says the same.

`src/clic_edge/pipeline/remedies.toml` is written anew by `python tests/remedies.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "errors.md"
FILE = ROOT / "src" / "clic_edge" / "pipeline" / "remedies.toml"
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
        "# What to do about each error: written by tests/remedies.py from",
        "# docs/reference/errors.md, where it is said. Danish stands in remedies_da.toml.",
        "",
    ]
    of_cases = {code: do for kind in OF_CASES for code, do in said()[kind].items()}
    lines += [
        f"{code} = {json.dumps(do, ensure_ascii=False)}" for code, do in sorted(of_cases.items())
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(generated(), encoding="utf-8")
