"""Pages from templates: escaped by default, in the reader's language, without script in them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from clic_edge import __version__
from clic_edge.board.naming import called
from clic_edge.domain.account import Account
from clic_edge.web.navigation import MENU
from clic_edge.web.words import LANGUAGES, Language, say

if TYPE_CHECKING:
    from fastapi import Request

THEMES: Final = ("auto", "light", "dark")
_COMMAND: Final = re.compile(r"`([^`]+)`")
_UNITS: Final = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


class Pages:
    """The templates, and what each of them may use."""

    def __init__(self, default: Language = "en") -> None:
        """Read the templates; `default` is spoken to whom says nothing else."""
        self._default: Language = default
        self._environment = Environment(
            loader=PackageLoader("clic_edge.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"moment": moment, "day": day}

    def language(self, request: Request) -> Language:
        """Return the language that a browser asked for by its cookie, or the site's."""
        return language_of(request, self._default)

    def page(
        self, request: Request, template: str, *, status: int = 200, **values: object
    ) -> HTMLResponse:
        """Return the page of a template; the values are escaped where they are written.

        A template has `t(key, …)`, `called(feature)`, `language`, `theme`, `account`, `menu` and `csrf()` beside them.
        """
        language = self.language(request)
        token = getattr(request.state, "csrf", "")
        account = getattr(request.state, "account", None)
        role = account.role if isinstance(account, Account) else None
        text = self._environment.get_template(template).render(
            t=lambda key, **filled: prose(say(language, key, **filled)),
            number=lambda value, digits=0: number(value, digits, language=language),
            span=lambda value: span(value, language=language),
            called=lambda name: called(name, language),
            language=language,
            theme=theme_of(request),
            account=account,
            menu=[one for one in MENU if role and role.includes(one.role)],
            path=request.url.path,
            version=__version__,
            csrf=lambda: Markup('<input type="hidden" name="csrf" value="{}">').format(token),
            **values,
        )
        return HTMLResponse(text, status)


def language_of(request: Request, default: Language = "en") -> Language:
    """Return the language that a browser asked for by its cookie, else `default`."""
    asked = request.cookies.get("language", "")
    return next((one for one in LANGUAGES if one == asked), default)


def theme_of(request: Request) -> str:
    """Return light, dark, or what the browser prefers."""
    asked = request.cookies.get("theme", "")
    return asked if asked in THEMES else "auto"


def prose(text: str) -> str:
    """Return words with what stands between backticks as code, the rest of them escaped."""
    if "`" not in text:
        return text
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here


def moment(at: datetime | None) -> Markup:
    """Return a time for people and programs, in UTC; a dash for none."""
    if at is None:
        return Markup("–")
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M}"
    )


def day(on: date) -> Markup:
    """Return a day for people and programs."""
    return Markup('<time datetime="{0}">{0}</time>').format(on.isoformat())


def number(value: float | None, digits: int = 0, *, language: Language = "en") -> str:
    """Return a number as the language writes it; a dash for none."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        return "–"
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "da" else text


def span(length: timedelta | None, *, language: Language = "en") -> str:
    """Return how long something takes, as people say it: seconds, minutes, hours or days."""
    if length is None:
        return "–"
    seconds = length.total_seconds()
    name, unit = next((one for one in _UNITS if abs(seconds) >= 2 * one[1]), _UNITS[-1])
    return f"{number(seconds / unit, language=language)} {say(language, f'base.{name}')}"
