"""Features in the database: one compact row for each prediction, and the names of them once.

A row holds the numbers as float64 side by side (little-endian, NaN for none) and the words as a
JSON list; an embedding, of a model that has one, lies beside them as float16. Which number is which, `feature_names` says: predictions with the same features share
one row there, named by its content, so that two boxes write the same one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.domain.feature import Feature
from clic_edge.domain.feature_table import FeatureTable
from clic_edge.domain.monitoring import Stratum
from clic_edge.ledger.batch_tables import batch_studies
from clic_edge.ledger.feature_tables import feature_names, feature_values
from clic_edge.ledger.schema import cases, predictions
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray
    from sqlalchemy.engine import Engine

    Row = sa.Row[tuple[object, ...]]

_STRATUM = tuple(Stratum.__slots__)
VALUES = [feature_values.c[name] for name in ("names_id", "numbers", "words")]
"""The columns that `unpacker` reads."""
_DTYPE = np.dtype("<f8")
_SHORT = np.dtype("<f2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The features of one kind of prediction, in the order of the values."""

    numbers: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def names_id(self) -> str:
        """Digest of the content."""
        told = json.dumps([self.numbers, self.words], separators=(",", ":"))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def unwatched(case_id: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Return that the monitor knows nothing of a case: it is no patient's, or of a batch.

    A batch is of other days than that on which it runs.
    """
    phantom = cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
    # Case by case: there are few in a span that is looked at, and many in all.
    is_phantom = sa.select(sa.literal(1)).where(cases.c.case_id == case_id, phantom).exists()
    own = batch_studies.c.case_id == case_id
    return is_phantom | sa.select(sa.literal(1)).where(own).exists()


def write_features(
    connection: sa.Connection,
    prediction_id: str,
    features: Iterable[Feature],
    *,
    embedding: Sequence[float] = (),
) -> None:
    """Write the features of a prediction, and its embedding; what is not finite is no number."""
    by_name = {one.name: one for one in features}
    numbers = sorted(name for name, one in by_name.items() if one.number is not None)
    words = sorted(by_name.keys() - set(numbers))
    names = Names(numbers=tuple(numbers), words=tuple(words))
    told = {"numbers": json.dumps(names.numbers), "words": json.dumps(names.words)}
    insert_once(connection, feature_names, [told | {"names_id": names.names_id}])
    values = np.array([by_name[name].number for name in numbers], dtype=_DTYPE)
    values[~np.isfinite(values)] = np.nan
    row = {
        "prediction_id": prediction_id,
        "names_id": names.names_id,
        "numbers": values.tobytes(),
        "words": json.dumps([by_name[name].text for name in words], ensure_ascii=False),
        "embedding": _packed(embedding) if embedding else None,
    }
    connection.execute(feature_values.insert().values(**row))


def _packed(embedding: Sequence[float]) -> bytes:
    largest = np.finfo(_SHORT).max
    clipped: NDArray[np.float64] = np.clip(np.array(embedding), -largest, largest)
    return clipped.astype(_SHORT).tobytes()


def embedding_in(content: bytes | None) -> tuple[float, ...]:
    """Return the numbers of an embedding as it was written; none where there is none."""
    return tuple(np.frombuffer(content or b"", dtype=_SHORT).astype(np.float64).tolist())


def stratum_of(features: Iterable[Feature]) -> Stratum:
    """Return the scanner that the features of a prediction tell of."""
    told = {one.name.removeprefix("input."): one.text for one in features}
    return Stratum(**{name: told.get(name, "") for name in _STRATUM})


def names_by_id(connection: sa.Connection) -> Mapping[str, Names]:
    """Return which features there are, by what the rows of values call them."""
    return {
        row.names_id: Names(
            numbers=tuple(json.loads(row.numbers)), words=tuple(json.loads(row.words))
        )
        for row in connection.execute(sa.select(feature_names))
    }


def unpacker(connection: sa.Connection) -> Callable[[Row], tuple[Feature, ...]]:
    """Return what makes features of a row with `names_id`, `numbers` and `words`; null is none.

    Words that were seen before are not read again: a scanner says the same all day.
    """
    names = names_by_id(connection)
    seen: dict[tuple[str, str], tuple[Feature, ...]] = {}

    def unpack(row: Row) -> tuple[Feature, ...]:
        if row.names_id is None:
            return ()
        own, said = names[row.names_id], (row.names_id, row.words)
        if said not in seen:
            texts = json.loads(row.words)
            seen[said] = tuple(
                Feature(name=name, text=text) for name, text in zip(own.words, texts, strict=True)
            )
        values = np.frombuffer(row.numbers, dtype=_DTYPE).tolist()
        found = zip(own.numbers, values, strict=True)
        return seen[said] + tuple(
            Feature(name=name, number=value) for name, value in found if isfinite(value)
        )

    return unpack


class FeatureStore:
    """Reads the features of one model column by column, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self) -> Names:
        """Return every feature that any prediction has, sorted."""
        with self._engine.connect() as connection:
            known = names_by_id(connection).values()
        return Names(
            numbers=tuple(sorted({name for one in known for name in one.numbers})),
            words=tuple(sorted({name for one in known for name in one.words})),
        )

    def table(
        self,
        model_digest: str,
        *,
        after: datetime | None,
        until: datetime,
        names: Collection[str] | None = None,
    ) -> FeatureTable:
        """Return the features named (or all) of what a model predicted after a moment, up to another.

        What was pruned is not in it, nor what constancy made.
        """
        chosen = (predictions.c.model_digest == model_digest) & (predictions.c.created_at <= until)
        if after is not None:
            chosen &= predictions.c.created_at > after
        chosen &= ~unwatched(predictions.c.case_id)
        own = [predictions.c[name] for name in ("prediction_id", "created_at", *_STRATUM)]
        query = sa.select(*[*own, *VALUES]).join(feature_values).where(chosen)
        with self._engine.connect() as connection:
            known = names_by_id(connection)
            rows = connection.execute(query.order_by(predictions.c.created_at)).all()
        columns = tuple(zip(*rows, strict=True)) or ((),) * (len(own) + len(VALUES))
        ids, at, *scanner, names_ids, numbers, words = columns
        keys = tuple(zip(*scanner, strict=True))
        strata = {key: Stratum(**dict(zip(_STRATUM, key, strict=True))) for key in set(keys)}
        return FeatureTable(
            prediction_ids=ids,
            at=at,
            strata=tuple(strata[key] for key in keys),
            numbers=_numbers(names_ids, numbers, known=known, names=names),
            words=_words(names_ids, words, known=known, names=names),
        )


def _numbers(
    names_ids: Sequence[str],
    numbers: Sequence[bytes],
    *,
    known: Mapping[str, Names],
    names: Collection[str] | None,
) -> tuple[tuple[str, NDArray[np.float64]], ...]:
    alike: dict[str, list[int]] = {}
    for index, names_id in enumerate(names_ids):
        alike.setdefault(names_id, []).append(index)
    columns: dict[str, NDArray[np.float64]] = {}
    for names_id, indices in alike.items():
        there = known[names_id].numbers
        joined = b"".join(numbers[index] for index in indices)
        block = np.frombuffer(joined, dtype=_DTYPE).reshape(len(indices), len(there))
        for position, name in enumerate(there):
            if names is None or name in names:
                column = columns.setdefault(name, np.full(len(names_ids), np.nan))
                column[indices] = block[:, position]
    for column in columns.values():
        column.flags.writeable = False
    return tuple(sorted(columns.items()))


def _words(
    names_ids: Sequence[str],
    words: Sequence[str],
    *,
    known: Mapping[str, Names],
    names: Collection[str] | None,
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    keys = tuple(zip(names_ids, words, strict=True))
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for key in set(keys):
        pairs = zip(known[key[0]].words, json.loads(key[1]), strict=True)
        seen[key] = {name: text for name, text in pairs if names is None or name in names}
    found = sorted({name for one in seen.values() for name in one})
    return tuple((name, tuple(seen[key].get(name, "") for key in keys)) for name in found)
