"""Notices in words, in the language of the site."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clic_edge.domain.notice import Notice

MOST_LINES: Final = 30
"""Of one message; the rest is counted."""
_SEE = {"en": "See", "da": "Se"}
_MORE = {"en": "and {count} more", "da": "og {count} flere"}
_SENT_BY = {
    "en": "clic-edge sends this from {name}. Nobody reads what is answered.",
    "da": "Sendt af clic-edge fra {name}. Svar læses ikke.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """Who writes, in which language, and where its pages are."""

    appliance: str
    language: str = "en"
    pages_url: str = ""
    """Empty where no browser reaches them."""

    def link(self, notice: Notice) -> str:
        """Return where a notice is shown; empty where nobody can go there."""
        return f"{self.pages_url}{notice.path}" if self.pages_url and notice.path else ""


def sentence(notice: Notice, head: Letterhead) -> str:
    """Return what happened, in one sentence without an identity."""
    about = notice.about or head.appliance
    return _words()[notice.kind][head.language].format(about=about, detail=notice.detail)


def subject(notices: Sequence[Notice], head: Letterhead) -> str:
    """Return what happened in one line, with the count where it happened several times."""
    first = sentence(notices[0], head)
    times = f"{len(notices)} × " if len(notices) > 1 else ""
    return f"[{head.appliance}] {times}{first}"


def body(notices: Sequence[Notice], head: Letterhead) -> str:
    """Return what happened when, each with its link, and who says so."""
    lines = [
        f"{one.at:%Y-%m-%d %H:%M} UTC  {sentence(one, head)}"
        + (f"\n    {_SEE[head.language]} {link}" if (link := head.link(one)) else "")
        for one in notices[:MOST_LINES]
    ]
    if more := len(notices) - MOST_LINES:
        lines += [_MORE[head.language].format(count=more)] if more > 0 else []
    return "\n".join([*lines, "", _SENT_BY[head.language].format(name=head.appliance), ""])


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    text = (files("clic_edge.notify") / "words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
