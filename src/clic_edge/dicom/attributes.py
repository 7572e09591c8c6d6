"""Attributes as typed values: absent is None or empty, unusable is a defect."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from clic_edge.dicom.reading import translated
from clic_edge.errors import Defect


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """A dataset or sequence item seen through types; keywords are those of PS3.6.

    Every method raises Defect ``invalid-attribute`` when a value is there but cannot be used.
    """

    dataset: Dataset
    where: str
    """Names the instance in errors, e.g. ``instance 3 of 20``."""

    @property
    def meta(self) -> Attributes:
        """The File Meta Information; empty where there is none."""
        meta = getattr(self.dataset, "file_meta", None) or Dataset()
        return Attributes(dataset=meta, where=self.where)

    def text(self, keyword: str) -> str:
        """Return the value as text, values joined by backslashes; empty when absent."""
        return "\\".join(self.texts(keyword))

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values as text without padding; empty when absent."""
        with translated("invalid-attribute", self._unusable(keyword)):
            return tuple(str(value).strip() for value in self._values(keyword))

    def number(self, keyword: str) -> float | None:
        """Return the first value as a finite number; None when absent."""
        values = self.numbers(keyword)
        return values[0] if values else None

    def numbers(self, keyword: str, count: int | None = None) -> tuple[float, ...]:
        """Return the values as finite numbers, `count` of them or none at all."""
        with translated("invalid-attribute", self._unusable(keyword)):
            values = tuple(_number(value) for value in self._values(keyword))
        wrong_count = count is not None and len(values) not in {0, count}
        if wrong_count or not all(map(math.isfinite, values)):
            raise Defect("invalid-attribute", self._unusable(keyword))
        return values

    def integer(self, keyword: str) -> int | None:
        """Return the first value as a whole number; None when absent."""
        value = self.number(keyword)
        return None if value is None else int(value)

    def required(self, keyword: str) -> int:
        """Return the first value as a whole number; absent is unusable too."""
        value = self.integer(keyword)
        if value is None:
            raise Defect("invalid-attribute", self._unusable(keyword))
        return value

    def items(self, keyword: str) -> tuple[Attributes, ...]:
        """Return the items of a sequence; empty when absent."""
        with translated("invalid-attribute", self._unusable(keyword)):
            return tuple(
                Attributes(dataset=item, where=self.where)
                for item in self.dataset.get(keyword) or ()
            )

    def first_item(self, keyword: str) -> Attributes | None:
        """Return the first item of a sequence; None when absent."""
        return next(iter(self.items(keyword)), None)

    def _values(self, keyword: str) -> tuple[object, ...]:
        value: object = self.dataset.get(keyword)
        if value is None or value == "":
            return ()
        return (
            tuple(value)
            if isinstance(value, Iterable) and not isinstance(value, str | bytes)
            else (value,)
        )

    def _unusable(self, keyword: str) -> str:
        return f"{self.where}: {keyword} {Tag(tag_for_keyword(keyword) or 0)} cannot be used"


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError(type(value))
    return float(value)
