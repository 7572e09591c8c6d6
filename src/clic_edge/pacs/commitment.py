"""Storage commitment (PS3.4 Annex J): the PACS takes over the responsibility for the objects.

We ask by N-ACTION; the PACS reports by N-EVENT-REPORT, on the association of the request or on
one that it opens to us. Nothing of this is stored: after a restart we ask again, and a report on
a request from before it is answered and forgotten.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # defined by a loop
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from clic_edge.domain.confirmation import Confirmation, Proof
from clic_edge.errors import ConfigError, Transient
from clic_edge.pacs.association import Contexts, aborted, associated, listen, status_of, where
from clic_edge.pacs.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clic_edge.domain.result import ResultReference
    from clic_edge.pacs.association import DimsePeer
    from clic_edge.pacs.tls import Tls

CONTEXTS: Contexts = frozenset({(StorageCommitmentPushModel, ImplicitVRLittleEndian)})
REQUEST = 1
"""Action Type ID of a request (PS3.4 J.3.2.1)."""
REMEMBERED = 1000
"""Requests without a report that are remembered; older ones are asked again."""
GLANCE_SECONDS = 0.05
REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object",
    0x0119: "other SOP class",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction",
    0x0213: "resource limitation",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a PACS reported for one request; an instance that it does not name is in neither."""

    committed: frozenset[str]
    failed: tuple[tuple[str, int], ...]
    """SOP Instance UID and Failure Reason."""

    def status(self, sop_instance_uid: str) -> str:
        """Return what became of an instance, in words."""
        if sop_instance_uid in self.committed:
            return "committed"
        reason = dict(self.failed).get(sop_instance_uid)
        if reason is None:
            return "not named"
        return f"0x{reason:04X} {REASONS.get(reason, 'failed')}"


class Reports:
    """The requests of this process and what was reported for them; shared by threads.

    A Transaction UID is drawn at random for each request: it must not be used twice (PS3.4
    J.3.2.1), and a stranger who connects can't guess it.
    """

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._asked: dict[str, frozenset[str]] = {}
        self._reported: dict[str, Report] = {}

    def open(self, instances: frozenset[str]) -> str:
        """Return the Transaction UID of a new request."""
        transaction = str(generate_uid(prefix=None))
        with self._news:
            self._asked[transaction] = instances
            while len(self._asked) > REMEMBERED:
                self._forget(next(iter(self._asked)))
        return transaction

    def receive(self, event: evt.Event) -> tuple[int, None]:
        """Take an N-EVENT-REPORT and return its status; what nobody asked for is let go.

        A second report on a request takes the place of the first.
        """
        information = event.event_information
        transaction = str(information.get("TransactionUID", ""))
        with self._news:
            if transaction in self._asked:
                self._reported.pop(transaction, None)  # the newest is last
                self._reported[transaction] = _report(information)
                self._news.notify_all()
        return 0x0000, None

    def late(self, instances: frozenset[str]) -> Report | None:
        """Return, once, what was reported after its request was given up, for these instances.

        The newest report counts; older ones are forgotten with it.
        """
        with self._news:
            of_these = [one for one in self._reported if instances <= self._asked[one]]
            reports = [self._forget(transaction) for transaction in of_these]
        return reports[-1] if reports else None

    def wait(
        self, transaction: str, seconds: float, holds_out: Callable[[], bool]
    ) -> Report | None:
        """Return the report, once; None when the time is over, or `holds_out` no more."""
        deadline = monotonic() + seconds
        with self._news:
            while transaction not in self._reported:
                left = deadline - monotonic()
                if left <= 0 or not holds_out():
                    return None
                self._news.wait(min(left, GLANCE_SECONDS))
            return self._forget(transaction)

    def _forget(self, transaction: str) -> Report | None:
        del self._asked[transaction]
        return self._reported.pop(transaction, None)


@contextmanager
def listening(port: int, reports: Reports, tls: Tls | None = None) -> Iterator[None]:
    """Take the reports that PACS bring on associations of their own, until the end.

    With `tls`, which names a certificate of ours, only those whom its `ca` certifies are heard.
    Raises ConfigError ``port-in-use``, and as `tls.server_context`.
    """
    ae = AE()
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    # The PACS that opens the association is the SCP; some do not say so.
    ae.add_supported_context(StorageCommitmentPushModel, syntaxes, scu_role=True, scp_role=True)
    ae.add_supported_context(Verification, syntaxes)
    try:
        server = ae.start_server(
            ("", port),
            block=False,
            ssl_context=server_context(tls) if tls else None,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.receive)],
        )
    except OSError as error:
        raise ConfigError(
            "port-in-use",
            f"Port {port} for reports of storage commitment can't be opened: {error.strerror}.",
        ) from error
    try:
        yield
    finally:
        server.shutdown()  # type: ignore[union-attr] # not None: it does not block


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentTerms:
    """How a PACS reports."""

    same_association: bool
    """The request's association stays open for the report."""
    listens: bool
    """A port of ours is open for reports on other associations (`listening`)."""
    timeout_s: float
    """How long a report is waited for; one that comes later counts when we ask next."""


class CommitmentWitness:
    """A PACS that commits itself to what it stored."""

    def __init__(
        self, name: str, peer: DimsePeer, *, terms: CommitmentTerms, reports: Reports
    ) -> None:
        self._name = name
        self._peer = peer
        self._terms = terms
        self._reports = reports

    def confirm(
        self, results: Sequence[ResultReference], *, study_instance_uid: str
    ) -> tuple[Confirmation, ...]:
        """Ask for a commitment, unless a late report on an earlier request answers already.

        Raises
        ------
        Transient
            ``commitment-refused``: not offered, or the request was not taken;
            ``commitment-pending``: no report has come yet; else as `association.associated`.

        """
        del study_instance_uid  # the request names instances alone
        if not results:
            return ()
        instances = frozenset(result.sop_instance_uid for result in results)
        report = self._reports.late(instances) or self._ask(results, instances)
        if report is None:
            raise Transient(
                "commitment-pending",
                f"The PACS at {where(self._peer)} has not reported on its storage commitment yet.",
            )
        return tuple(self._confirmation(result.sop_instance_uid, report) for result in results)

    def _ask(self, results: Sequence[ResultReference], instances: frozenset[str]) -> Report | None:
        terms, reports = self._terms, self._reports
        transaction = reports.open(instances)
        with associated(self._peer, CONTEXTS, on_event=reports.receive) as association:
            if not association.accepted_contexts:
                raise self._refused("does not offer storage commitment")
            try:
                answer, _ = association.send_n_action(
                    _request(transaction, results),
                    REQUEST,
                    StorageCommitmentPushModel,
                    StorageCommitmentPushModelInstance,
                )
            except RuntimeError as error:  # the peer ended the association before
                raise aborted(self._peer) from error
            if status := status_of(self._peer, answer):
                raise self._refused(f"answers a request for storage commitment with 0x{status:04X}")
            if terms.same_association:
                listen(association)
                return reports.wait(
                    transaction,
                    terms.timeout_s,
                    lambda: terms.listens or association.is_established,
                )
        return reports.wait(transaction, terms.timeout_s, lambda: terms.listens)

    def _refused(self, what: str) -> Transient:
        return Transient("commitment-refused", f"The PACS at {where(self._peer)} {what}.")

    def _confirmation(self, sop_instance_uid: str, report: Report) -> Confirmation:
        return Confirmation(
            destination=self._name,
            sop_instance_uid=sop_instance_uid,
            held=sop_instance_uid in report.committed,
            how=Proof.COMMITMENT,
            status=report.status(sop_instance_uid),
        )


def _request(transaction: str, results: Sequence[ResultReference]) -> Dataset:
    """Return the Action Information (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for result in results:
        item = Dataset()
        item.ReferencedSOPClassUID = result.sop_class_uid
        item.ReferencedSOPInstanceUID = result.sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def _report(information: Dataset) -> Report:
    """Return the Event Information (PS3.4 Table J.3-2); a failure outweighs a success."""
    failed = tuple(
        (str(item.get("ReferencedSOPInstanceUID", "")), int(item.get("FailureReason") or 0x0110))
        for item in information.get("FailedSOPSequence") or ()
    )
    committed = {
        str(item.get("ReferencedSOPInstanceUID", ""))
        for item in information.get("ReferencedSOPSequence") or ()
    }
    return Report(committed=frozenset(committed - {uid for uid, _ in failed}), failed=failed)
