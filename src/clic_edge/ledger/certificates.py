"""How the series of cases were made clean before models saw them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from clic_edge.domain.clean import SeriesCertificate
from clic_edge.ledger.metadata import metadata
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

series_certificates = sa.Table(
    "series_certificates",
    metadata,
    sa.Column("certificate_id", sa.String(32), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("content", sa.Text, nullable=False),
)
_CONTENT: Final = TypeAdapter(SeriesCertificate)


def note_cleaned(connection: sa.Connection, certificate: SeriesCertificate) -> None:
    """Keep a certificate, in the transaction of a prediction; what was done the same is kept once."""
    timeless = replace(certificate, made_at="", signature="")
    row = {
        "certificate_id": hashlib.sha256(_CONTENT.dump_json(timeless)).hexdigest()[:32],
        "case_id": certificate.case_id,
        "content": _CONTENT.dump_json(certificate).decode(),
    }
    insert_once(connection, series_certificates, [row])


class CertificateStore:
    """Certificates of series, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_case(self, case_id: str) -> tuple[SeriesCertificate, ...]:
        """Return how the series of a case were cleaned, in the order in which they were."""
        query = sa.select(series_certificates.c.content).where(
            series_certificates.c.case_id == case_id
        )
        with self._engine.connect() as connection:
            found = [_CONTENT.validate_json(one) for one in connection.scalars(query)]
        return tuple(sorted(found, key=lambda one: (one.made_at, one.series_uid)))
