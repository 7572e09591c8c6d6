"""The statement, chapter by chapter as PS3.2 Annex A orders them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from clic_edge.drawing.look import Language
from clic_edge.pacs.acceptor import COMMITMENT, VERIFICATION
from clic_edge.pacs.association import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    LARGEST_PDU_BYTES,
)
from clic_edge.pacs.encoding import SYNTAXES
from clic_edge.pacs.transport import STORED
from clic_edge.reporting.document import Document, Section, Table, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.conformance.facts import Facts, Recipient, Sent
    from clic_edge.reporting.document import Block

_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_PLAIN: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


def statement(facts: Facts, *, day: str) -> Document:
    """Return the conformance statement of a site's appliance, as it is configured on a `day`."""
    return Document(
        title="DICOM Conformance Statement",
        subtitle=f"{facts.site}: clic-edge {facts.version}, as configured on {day}",
        footer=f"clic-edge {facts.version}, {day}",
        language=Language.ENGLISH,
        sections=tuple(_sections(facts)),
    )


def _sections(facts: Facts) -> Iterator[Section]:
    yield _section("1 Overview", _overview(facts))
    yield _section("2 Implementation model", _model(facts))
    yield _section("3 The archive, which accepts associations", _archive(facts))
    for number, one in enumerate(facts.recipients, 1):
        yield _section(f"4.{number} The worker and the destination {one.name}", _worker(one))
    yield _section("5 Network and configuration", _network(facts))
    yield _section("6 Media, character sets", _sets(facts))
    yield _section("7 Security", _security(facts))
    yield _section("8 Annexes", _annexes())


def _section(heading: str, blocks: Iterator[Block]) -> Section:
    return Section(heading=heading, blocks=tuple(blocks))


def _overview(facts: Facts) -> Iterator[Block]:
    yield Words(
        text="clic-edge stands beside a PACS. Its archive, an Orthanc, takes studies by C-STORE. "
        "Its worker de-identifies them in memory, has models look at them, and sends what they "
        "found back into the same study as result objects."
    )
    taken = facts.acceptor.sop_classes if facts.acceptor else ()
    given = {one.sop_class.uid for peer in facts.recipients for one in peer.sent}
    asked = _asked(facts)
    rows = tuple(
        (
            UID(uid).name,
            uid,
            "yes" if uid in given | asked else "no",
            "yes" if uid in taken else "no",
        )
        for uid in sorted({*taken, *given, *asked}, key=lambda one: UID(one).name)
    )
    yield Table(
        caption="Network services",
        columns=("SOP class", "UID", "user (SCU)", "provider (SCP)"),
        rows=rows,
        numbers_from=4,
    )
    if facts.acceptor is None:
        yield Words(
            text="The archive was not asked when this was made: of what it provides, nothing "
            "stands here.",
            is_notice=True,
        )


def _asked(facts: Facts) -> set[str]:
    """Return the classes of services, other than storage, that the worker uses."""
    dimse = [one for one in facts.recipients if one.kind == "dimse"]
    found = {VERIFICATION} if dimse else set()
    if any(one.commitment != "none" for one in dimse):
        found.add(COMMITMENT)
    if any(one.confirm == "c-find" or one.is_asked_for_counts for one in dimse):
        found.add(_FIND)
    return found


def _model(facts: Facts) -> Iterator[Block]:
    yield Words(
        text="Two application entities: the archive accepts associations, the worker initiates "
        "them. A study is looked at when no instance has come for a while and its pipeline holds "
        "it to be complete. Every case ends delivered, refused with a reason, or quarantined for "
        "a person; what can't be delivered yet is tried again, for days if need be."
    )
    yield Table(
        caption="Pipelines",
        columns=("pipeline", "what it does", "results go to"),
        rows=tuple((name, title, ", ".join(to)) for name, title, to in facts.pipelines),
        numbers_from=3,
    )


def _archive(facts: Facts) -> Iterator[Block]:
    if facts.acceptor is None:
        yield Words(text="Not asked.", is_notice=True)
        return
    yield Words(
        text=f"Orthanc {facts.acceptor.version}. Contexts of query and retrieval may be accepted "
        "in the negotiation; every such request is refused. It keeps the bytes that came, answers a C-STORE with success when "
        "the file is on the disk, and keeps the first copy of an instance."
    )
    yield Table(
        caption="Transfer syntaxes of every storage class",
        columns=("name", "UID"),
        rows=tuple((UID(one).name, one) for one in facts.acceptor.transfer_syntaxes),
        numbers_from=2,
    )
    yield Words(
        text="Intake ignores what clic-edge itself wrote. Images of CT, MR and PET, single images, "
        "and whole slides may be taken by a pipeline; for each series that is not, the case says "
        "which rule did not hold."
    )


def _worker(peer: Recipient) -> Iterator[Block]:
    if peer.kind == "folder":
        yield Words(text="A folder: objects are written as Part 10 files, and no peer is asked.")
    elif peer.kind == "dicomweb":
        yield Words(
            text="By DICOMweb: STOW-RS (PS3.18 10.5), all objects of a case in one request, as "
            "user agent."
            + (" QIDO-RS (10.6) proves that they are held." if peer.confirm == "qido" else "")
        )
    else:
        yield Words(
            text="One association for all objects of a case, one operation at a time. It is opened "
            "when results are ready, and again after a failure, with waits that double."
        )
    yield Table(
        caption="Storage",
        columns=("what", "SOP class", "UID", "transfer syntaxes, in order of preference"),
        rows=tuple(_row(one) for one in peer.sent),
        numbers_from=4,
    )
    if peer.kind == "dimse":
        yield from _dimse(peer)


def _row(one: Sent) -> tuple[str, ...]:
    syntaxes = (*filter(None, [SYNTAXES.get(one.compression)]), *_PLAIN)
    name = UID(one.sop_class.uid).name
    return (one.kind, name, one.sop_class.uid, ", ".join(UID(uid).name for uid in syntaxes))


def _dimse(peer: Recipient) -> Iterator[Block]:
    stored = ", ".join(f"0x{code:04X}" for code in sorted(STORED))
    yield Table(
        caption="What the worker makes of an answer to C-STORE",
        columns=("status", "what happens"),
        rows=(
            (stored, "The object is at the destination."),
            ("any other, or no context accepted", "It is not; the case waits and sends it again."),
            ("no answer, A-ABORT, refusal", "Nothing is known; the case waits and sends it again."),
        ),
        numbers_from=2,
    )
    if peer.commitment != "none":
        ways = ["on the same association"] if peer.commitment == "same-association" else []
        ways += [f"on port {peer.report_port}"] if peer.report_port else []
        yield Words(
            text="Storage Commitment Push Model: N-ACTION for the objects of a case after storing; "
            f"the N-EVENT-REPORT is taken {' and '.join(ways)}. A report that does not come is "
            "asked for again, an object that is not committed is sent again."
        )
    if peer.confirm == "c-find" or peer.is_asked_for_counts:
        yield Table(
            caption="C-FIND, Study Root",
            columns=("level", "matched by", "asked for"),
            rows=(
                ("STUDY", "Study Instance UID", "Number of Study Related Instances"),
                ("SERIES", "Study Instance UID", "Number of Series Related Instances"),
                ("IMAGE", "Study and Series Instance UID", "SOP Instance UID, SOP Class UID"),
            ),
            numbers_from=3,
        )


def _network(facts: Facts) -> Iterator[Block]:
    yield Words(
        text="TCP/IP, IPv4. The worker's Implementation Class UID is "
        f"{IMPLEMENTATION_CLASS_UID} ({IMPLEMENTATION_VERSION_NAME}), its largest PDU "
        f"{LARGEST_PDU_BYTES} bytes. No asynchronous operations, no user identity negotiation."
    )
    rows = [("worker", one.calling_ae_title, one.called_ae_title, "") for one in _by_dimse(facts)]
    if facts.acceptor:
        rows.append(("archive", "any", facts.acceptor.ae_title, str(facts.acceptor.port)))
    yield Table(
        caption="Application entity titles",
        columns=("entity", "calling", "called", "port"),
        rows=tuple(rows),
        numbers_from=4,
    )


def _by_dimse(facts: Facts) -> list[Recipient]:
    return [one for one in facts.recipients if one.kind == "dimse"]


def _sets(facts: Facts) -> Iterator[Block]:
    yield Words(
        text="No media interchange. Names are read in every character set of PS3.3 C.12.1.1.2 "
        "and copied unchanged. An object whose names the destination's set can't write is not "
        "sent, and the case says so."
    )
    yield Table(
        caption="Specific Character Set of what is sent",
        columns=("destination", "character set"),
        rows=tuple((one.name, one.character_set) for one in facts.recipients),
        numbers_from=2,
    )


def _security(facts: Facts) -> Iterator[Block]:
    yield Words(
        text="Images are de-identified by the Basic Application Level Confidentiality Profile "
        "(PS3.15 Annex E) before a model sees them; they do not leave the appliance so. Result "
        "objects bear the identity of their study again, and that is compared with the original "
        "before they leave. Ports, and who may speak to each, stand in the reference “Ports and "
        "files”."
    )
    ways = [("into the archive", facts.incoming_tls)]
    ways += [(f"to {one.name}", one.tls) for one in facts.recipients if one.kind != "folder"]
    yield Table(
        caption="Secure transport connections (PS3.15 Annex B)",
        columns=("connection", "protection"),
        rows=tuple((way, tls or "none: in the clear") for way, tls in ways),
        numbers_from=2,
    )


def _annexes() -> Iterator[Block]:
    yield Words(
        text="Contents of the objects: the reference “Result objects”. No private SOP classes and "
        "no private transfer syntaxes. UIDs begin with 2.25. Codes of our own have the scheme "
        "99CLICEDGE; all others are those of DICOM, SNOMED CT, UCUM and LOINC."
    )
