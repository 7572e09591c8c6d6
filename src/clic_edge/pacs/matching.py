"""QIDO-RS over Orthanc 1.10, which compares the values of a query as they stand in the URL.

A value that has to be escaped there, as `Åse` and `A B` have, matches nothing. So Orthanc is asked
for more, and what was meant is chosen from its answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, quote

from pydantic import JsonValue, TypeAdapter
from pydicom.datadict import tag_for_keyword

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNSENT = re.compile(r"[^A-Za-z0-9._~*?,:/@^-]+")
"""What can't stand in a query as it is."""
_PAGED = ("limit", "offset")
_MATCHES = TypeAdapter(list[dict[str, JsonValue]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What Orthanc is asked, and which of its matches were meant (PS3.18 8.3.4)."""

    query: str = field(repr=False)
    """With a wildcard for what can't be sent."""
    wanted: Mapping[str, str] = field(repr=False)
    """The values that had to be widened, by tag in eight hexadecimal digits."""
    offset: int = 0
    limit: int | None = None

    @classmethod
    def of(cls, query: str) -> Self:
        """Return the search that a query means; its pages are ours only where we have to choose."""
        pairs = parse_qsl(query, keep_blank_values=True)
        wanted = {
            tag: value for key, value in pairs if _UNSENT.search(value) and (tag := _tag(key))
        }
        paged = {key: int(value) for key, value in pairs if key in _PAGED and value.isdecimal()}
        left_out = _PAGED if wanted else ()
        parts = (f"{quote(k)}={_UNSENT.sub('*', v)}" for k, v in pairs if k not in left_out)
        return cls(
            query="&".join(parts),
            wanted=wanted,
            offset=paged.get("offset", 0),
            limit=paged.get("limit"),
        )

    def chosen(self, answer: bytes) -> bytes:
        """Return the matches that were meant, of an answer in DICOM JSON.

        Raises pydantic's ValidationError when it is something else.
        """
        found = [
            match
            for match in _MATCHES.validate_json(answer)
            if all(_is_like(match.get(tag), value) for tag, value in self.wanted.items())
        ]
        end = None if self.limit is None else self.offset + self.limit
        return json.dumps(found[self.offset : end], ensure_ascii=False).encode()


def _tag(key: str) -> str | None:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", key):
        return key.upper()
    tag = tag_for_keyword(key)
    return None if tag is None else f"{tag:08X}"


def _is_like(attribute: JsonValue, value: str) -> bool:
    """Return whether an attribute has a value that matches, without regard to case."""
    values = attribute.get("Value", []) if isinstance(attribute, dict) else []
    pattern = re.escape(value).replace(r"\*", ".*").replace(r"\?", ".")
    texts = [text for one in (values if isinstance(values, list) else []) for text in _texts(one)]
    return any(re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL) for text in texts)


def _texts(value: JsonValue) -> list[str]:
    """Return a value as text; a name in each of its representations (PS3.18 F.2.2)."""
    if isinstance(value, dict):
        return [part for part in value.values() if isinstance(part, str)]
    return [value] if isinstance(value, str) else []
