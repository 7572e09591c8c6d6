"""Pictures of a case's result, made of what lies in a real archive."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from analyses import analysis_of, asymmetric
from case_rows import Row, write_rows
from factories import CANARY, Stack, make_series
from fastapi import FastAPI
from ledgers import make_tables
from PIL import Image
from servers import OrthancServer, orthanc_server
from signed_in import browser

from clic_edge.dicom.reading import read_header
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Refusal
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.pacs.gateway import ArchiveGateway
from clic_edge.pacs.rest import OrthancPeer
from clic_edge.results.seg import SegWriter
from clic_edge.web import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.testclient import TestClient

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def archive() -> Iterator[OrthancServer]:
    with orthanc_server() as server:
        yield server


@pytest.fixture(scope="module")
def app(archive: OrthancServer) -> FastAPI:
    """Return the pictures of cases: one is whole, of one the result is gone, of one it changed."""
    mask = asymmetric((6, 24, 20))
    voxels = np.where(mask > 0, 1000, 100).astype(np.int16)
    analysis = analysis_of(make_series(Stack(patient=CANARY), voxels), mask=mask)
    (seg,) = SegWriter().write(analysis, ())
    for content in (*(one.content for one in analysis.series.instances), seg.content):
        httpx.post(f"{archive.url}/instances", content=content, trust_env=False).raise_for_status()
    engine = open_engine("sqlite://")
    make_tables(engine)
    ledger = Ledger.on(engine)
    write_rows(engine, [Row(case_id=one) for one in ("whole", "gone", "changed")])
    told = {"whole": seg, "gone": replace(seg, sop_instance_uid="2.25.1")}
    for case_id, result in told.items():
        ledger.deliveries.record(case_id, (result,), told_of={result.sop_instance_uid: "p"})
    (first, *_) = analysis.series.instances
    uid = str(read_header(first.content).SOPInstanceUID)
    changed = replace(seg, kind=ResultKind.SEG_LABELMAP, sop_instance_uid=uid)
    ledger.deliveries.record("changed", (changed,), told_of={uid: "p"})
    app = FastAPI()
    app.include_router(pictures.router(ledger, ArchiveGateway(OrthancPeer(url=archive.url))))
    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with browser(app) as client:
        yield client


def test_the_outlines_lie_over_the_slices_and_neither_is_kept(client: TestClient) -> None:
    answers = [client.get(f"/cases/whole/pictures/{one}.png") for one in ("p", "p-outlines")]
    for answer in answers:
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "no-store"
        assert CANARY.patient_id.encode() not in answer.content
    plain, lines = (Image.open(io.BytesIO(one.content)) for one in answers)
    assert plain.size == lines.size
    drawn = np.asarray(lines)[..., 3] > 0
    grey = np.asarray(plain.convert("L"), float)
    # The phantom is bright where its mask is, so the brightness changes at an outline.
    steps = np.hypot(*np.gradient(grey))
    assert steps[drawn].mean() > 5 * steps[~drawn].mean()


def test_nobody_sees_a_picture_without_logging_in(app: FastAPI) -> None:
    with browser(app, None) as nobody:
        assert nobody.get("/cases/whole/pictures/p.png").status_code == 401


def test_what_is_not_there_is_not_shown(client: TestClient) -> None:
    assert client.get("/cases/whole/pictures/other.png").status_code == 404
    with pytest.raises(Refusal, match="study-gone"):
        client.get("/cases/gone/pictures/p.png")


def test_what_is_not_as_it_was_checked_is_not_shown(client: TestClient) -> None:
    with pytest.raises(Defect, match="result-changed"):
        client.get("/cases/changed/pictures/p-outlines.png")
