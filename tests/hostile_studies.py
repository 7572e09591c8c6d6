"""Studies made to harm, each of two images, and where their case is to end."""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hostile_files as made
from pynetdicom import AE, _config

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pynetdicom.association import Association
    from servers import OrthancServer

SCRIPT = "<script>alert(1)</script>' OR 1=1; --"
_J2K = b"\xff\x4f\xff\x51" + made.siz(65535, 65535, samples=1)


@dataclass(frozen=True, kw_only=True)
class HostileStudy:
    """What is put in place of the elements of a good image."""

    elements: Mapping[int, bytes]
    state: CaseState | None = None
    """None where no case comes of it."""
    code: str = ""
    syntax: str = made.EXPLICIT
    status: int = 0x0000
    """What Orthanc answers to its images."""

    def files(self, number: int) -> list[bytes]:
        """Return two images, as study `number`."""
        return [
            made.part10(made.image(number, place=place) | dict(self.elements), self.syntax)
            for place in (1, 2)
        ]


HOSTILE = {
    "sequences a hundred deep, without lengths": HostileStudy(
        elements={0x00081115: made.nested(100)},
        status=0xC000,
    ),
    "sequences a hundred deep, in a private block": HostileStudy(
        elements={0x00091001: made.nested(100, 0x00091001, defined=True)},
        status=0xC000,
    ),
    "46341 x 46341 in 32 bytes": HostileStudy(
        elements={tag: made.short(tag, 46341) for tag in (0x00280010, 0x00280011)},
        state=CaseState.REFUSED,
        code="pixels-too-large",
    ),
    "JPEG 2000 that claims all memory": HostileStudy(
        elements={tag: made.short(tag, 65535) for tag in (0x00280010, 0x00280011)}
        | {0x7FE00010: made.fragments(_J2K + b"\xff\xd9")},
        syntax=made.JPEG_2000,
        state=CaseState.REFUSED,
        code="pixels-too-large",
    ),
    "a path for a UID": HostileStudy(
        elements={0x0020000E: made.element(0x0020000E, "UI", "../../../../tmp/owned")},
        state=CaseState.REFUSED,
        code="extent-unsupported",
    ),
    "markup and SQL for names": HostileStudy(
        elements={
            0x00081030: made.element(0x00081030, "LO", SCRIPT),
            0x0008103E: made.element(0x0008103E, "LO", f"Hippocampus {SCRIPT}"[:64]),
            0x00100010: made.element(0x00100010, "PN", SCRIPT),
        },
        state=CaseState.REFUSED,
        code="extent-unsupported",
    ),
    "numbers that are none": HostileStudy(
        elements={
            0x00200011: made.element(0x00200011, "IS", "nan"),
            0x00180050: made.element(0x00180050, "DS", "1e999"),
        },
        state=CaseState.QUARANTINED,
        code="invalid-attribute",
    ),
    "a sequence for a modality": HostileStudy(
        elements={0x00080060: made.many_items(1, 0x00080060)},
        state=CaseState.REFUSED,
        code="no-pipeline",
    ),
}


def send_files(files: Sequence[bytes], server: OrthancServer, syntax: str) -> set[int]:
    """Send files as they are, byte for byte, and return the answers; no library reads them first."""
    answers = set()
    before, _config.STORE_SEND_CHUNKED_DATASET = _config.STORE_SEND_CHUNKED_DATASET, True
    try:
        with (
            associated(server, made.MR, syntax) as association,
            tempfile.TemporaryDirectory() as folder,
        ):
            for number, content in enumerate(files):
                path = Path(folder, f"{number}.dcm")
                path.write_bytes(content)
                answers.add(association.send_c_store(path).Status)
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before
    return answers


@contextmanager
def associated(server: OrthancServer, sop_class: str, syntax: str) -> Iterator[Association]:
    """Yield an association with one presentation context."""
    entity = AE(ae_title="ATTACKER")
    entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", server.dicom_port, ae_title=server.ae_title)
    assert association.is_established
    with closing(association.dul.socket.socket):
        try:
            yield association
        finally:
            association.release()
