"""What a destination says when it is asked, later, whether it holds what it accepted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from clic_edge.domain.result import Receipt

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultReference


class Proof(StrEnum):
    """How a destination is asked."""

    COMMITMENT = "commitment"
    """Storage commitment: the PACS takes over the responsibility (PS3.4 Annex J)."""
    C_FIND = "c-find"
    QIDO = "qido"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The answer for one result object that the destination had accepted."""

    destination: str
    sop_instance_uid: str
    held: bool
    how: Proof
    status: str
    """``committed``, ``found``, ``not found``, ``0x0112 no such object``, …"""

    @property
    def receipt(self) -> Receipt:
        """The receipt that takes the place of the first answer: what is not held is sent again."""
        return Receipt(
            destination=self.destination,
            sop_instance_uid=self.sop_instance_uid,
            accepted=self.held,
            status=f"{self.how}: {self.status}",
        )


def is_proven(receipt: Receipt) -> bool:
    """Whether a receipt is that of a confirmation, and the destination holds the object."""
    return receipt.accepted and receipt.status.partition(": ")[0] in set(Proof)


def found(
    destination: str, result: ResultReference, *, how: Proof, sop_class_uid: str | None
) -> Confirmation:
    """Return what a query proves: the SOP class that it gave (maybe empty), None for no match."""
    held = sop_class_uid in {"", result.sop_class_uid}
    absent = "not found" if sop_class_uid is None else "other SOP class"
    return Confirmation(
        destination=destination,
        sop_instance_uid=result.sop_instance_uid,
        held=held,
        how=how,
        status="found" if held else absent,
    )
