"""Plain values to TOML (1.0), as much of it as our own files need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, object]) -> str:
    """Return a file that reads as `table`: text, numbers, booleans, arrays and tables of them.

    What is None is left out, as TOML has no word for it.
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


def _lines(table: Mapping[str, object], place: tuple[str, ...]) -> Iterator[str]:
    later: list[tuple[str, str, Mapping[str, object]]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            later.append((key, "[{}]", value))
        elif _is_tables(value):
            later += [(key, "[[{}]]", one) for one in value]
        elif value is not None:
            yield f"{_key(key)} = {_inline(value)}"
    for key, head, inner in later:
        there = (*place, key)
        yield f"\n{head.format('.'.join(map(_key, there)))}"
        yield from _lines(inner, there)


def _is_tables(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        return False
    return all(isinstance(one, Mapping) for one in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _inline(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            pairs = (f"{_key(key)} = {_inline(one)}" for key, one in value.items())
            return "{ " + ", ".join(pairs) + " }"
        case Sequence():
            return f"[{', '.join(map(_inline, value))}]"
    message = f"TOML has no {type(value).__name__}"
    raise TypeError(message)


def _text(text: str) -> str:
    # What JSON escapes, TOML escapes alike, but for DEL and half of a pair.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
