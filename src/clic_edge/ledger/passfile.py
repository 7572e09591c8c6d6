"""The password of a PostgreSQL, out of the file that its URL names."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

_FIELD: Final = re.compile(r"((?:\\.|[^\\:])*)(?::|$)")
_FIELDS: Final = 5
_PORT: Final = 5432


def with_password(url: sa.URL) -> sa.URL:
    r"""Return a URL with the password that its ``passfile`` has for it, as it is where there is none.

    Lines are ``host:port:database:user:password``, ``*`` fits all, and ``\`` stands before a colon or
    itself (PostgreSQL, *The Password File*). PostgreSQL itself passes over such a file where a group
    may read it; Orthanc, worker and pages are three users, and share one.

    Raises ConfigError ``no-secret``: it can't be read, or everybody may read it.
    """
    named = url.query.get("passfile")
    if not isinstance(named, str):
        return url
    host = url.host or url.query.get("host") or "localhost"
    asked = (host, str(url.port or _PORT), url.database, url.username)
    for *pattern, password in _lines(Path(named)):
        if all(one in ("*", value) for one, value in zip(pattern, asked, strict=True)):
            return url.set(password=password).difference_update_query(["passfile"])
    return url


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        is_open = path.stat().st_mode & stat.S_IRWXO
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("no-secret", f"{path}: {error.strerror}.") from error
    if is_open:
        raise ConfigError(
            "no-secret", f"{path}: everybody on the machine may read it; chmod o= it."
        )
    for line in text.splitlines():
        fields = [re.sub(r"\\(.)", r"\1", one) for one in _FIELD.findall(line)][:_FIELDS]
        if len(fields) == _FIELDS and not line.startswith("#"):
            yield fields
