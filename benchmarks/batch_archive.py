"""A PACS full of small studies, made from one: its bytes, with other identifiers of equal length."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from load_traffic import Study

from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import OrthancServer

FIRST = 100_000
"""Number of the first study; all have six digits."""


def past(number: int) -> Study:
    """Return a study of ten slices of 64 x 64, which the pipeline of the past takes."""
    return Study(number=FIRST + number, slices=10, edge=64, description="old")


def fill(pacs: OrthancServer, count: int) -> None:
    """Let a PACS hold `count` studies; what it holds already is not sent again."""
    rest = HttpRest(OrthancPeer(url=pacs.url))
    with tempfile.TemporaryDirectory(prefix="clic-edge-batch-") as made:
        past(0).write(Path(made))
        files = [one.read_bytes() for one in sorted(Path(made).rglob("*.dcm"))]
    for number in range(count):
        if rest.get(f"/studies/{past(number).handle}") is None:
            rest.post("/instances", _packed(_renamed(files, past(number))))
    rest.close()


def _renamed(files: list[bytes], study: Study) -> Iterator[bytes]:
    own, model = study.patient, past(0).patient
    names = [
        (model.uid_root.rpartition(".")[0], own.uid_root.rpartition(".")[0]),
        (model.patient_id, own.patient_id),
        (model.accession_number, own.accession_number),
    ]
    for content in files:
        for old, new in names:
            content = content.replace(old.encode(), new.encode())  # noqa: PLW2901 - one by one
        yield content


def _packed(files: Iterator[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, content in enumerate(files):
            archive.writestr(f"{number}.dcm", content)
    return out.getvalue()
