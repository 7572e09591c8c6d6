"""Files of the ledger's tables, CSV or Parquet, written a thousand rows at a time."""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from clic_edge.cli.console import stamp
from clic_edge.domain.cells import plain_cell
from clic_edge.ledger.export import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.ledger.export import ExportColumn

    Row = tuple[object, ...]

_AT_A_TIME = 1000


def write_csv(path: Path, columns: tuple[ExportColumn, ...], rows: Iterator[Row]) -> int:
    """Write a CSV file in UTF-8, moments in UTC, and return how many rows."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([one.name for one in columns])
        for row in rows:
            writer.writerow(
                [stamp(it) if isinstance(it, datetime) else plain_cell(it) for it in row]
            )
            count += 1
    return count


def write_parquet(path: Path, columns: tuple[ExportColumn, ...], rows: Iterator[Row]) -> int:
    """Write a Parquet file with types, and return how many rows."""
    import pyarrow as pa  # noqa: PLC0415 - slow to load, and needed here only
    from pyarrow import parquet  # noqa: PLC0415 - as above

    types = {
        Kind.TEXT: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.COUNT: pa.int64(),
        Kind.FLAG: pa.bool_(),
        Kind.DAY: pa.date32(),
        Kind.MOMENT: pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(one.name, types[one.kind]) for one in columns])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, _AT_A_TIME)):
            arrays = [
                pa.array(values, field.type)
                for values, field in zip(zip(*part, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(part)
    return count
