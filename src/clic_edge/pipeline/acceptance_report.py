"""The acceptance report: what was asked of a model, what was found, who says so; signed."""

from datetime import datetime
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from clic_edge.deid.certificate import signing_key
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.page_key import PageKey
from clic_edge.errors import ConfigError

_CONTEXT: Final = b"clic-edge acceptance 1\n"
"""Keeps a signature from meaning anything elsewhere."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Criterion(_Strict):
    """One thing that was asked for, and what was found."""

    name: str
    found: float | None
    """None where nothing was found."""
    sense: Literal["at least", "at most"]
    limit: float

    @property
    def met(self) -> bool:
        """Whether it is what was asked for."""
        if self.found is None:
            return False
        return self.found >= self.limit if self.sense == "at least" else self.found <= self.limit


class Part(_Strict):
    """A library, driver or other part of the machine on which it was found."""

    name: str
    version: str


class AcceptanceReport(_Strict):
    """What a person accepts a model on; anybody can read it, and nobody change it unseen."""

    format: Literal[1] = 1
    pipeline: str
    model_id: str
    version: str
    digest: str
    at: datetime
    person: str
    criteria: tuple[Criterion, ...]
    protocol: str = ""
    """Name and version of the constancy protocol that was run; empty where none was."""
    record: str = ""
    """SHA-256 of the commissioning record that was sealed with it; empty where none was."""
    environment: tuple[Part, ...] = ()
    """What the machine was made of."""
    signature: str = ""
    """Ed25519 under the site's key, hexadecimal; empty before it is signed."""

    @property
    def is_met(self) -> bool:
        """Whether every criterion is met."""
        return all(one.met for one in self.criteria)

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return _CONTEXT + self.model_dump_json(exclude={"signature"}).encode()


def signed(report: AcceptanceReport, key: DeidKey) -> AcceptanceReport:
    """Return the report with the site's signature."""
    signature = signing_key(key).sign(report.signed).hex()
    return report.model_copy(update={"signature": signature})


def read_report(text: str) -> AcceptanceReport:
    """Return the report in a file's text. Raises ConfigError ``acceptance-unreadable``."""
    try:
        return AcceptanceReport.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            "acceptance-unreadable", "The file is no acceptance report of `models accept`."
        ) from error


def is_signed(report: AcceptanceReport, key: PageKey) -> bool:
    """Whether the report is as the holder of the site's key signed it."""
    try:
        Ed25519PublicKey.from_public_bytes(key.signer).verify(
            bytes.fromhex(report.signature), report.signed
        )
    except (InvalidSignature, ValueError):
        return False
    return True
