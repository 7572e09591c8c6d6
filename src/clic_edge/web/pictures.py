"""`/cases/ID/pictures/…`: key slices of a result's source, and the outlines to lay over them.

The images show a patient, so they are made when they are asked for, sent to who is logged in, and
kept nowhere.
"""

import asyncio
from typing import Final

from fastapi import APIRouter, Depends, HTTPException
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.status import HTTP_404_NOT_FOUND

from clic_edge.board.case import case_detail
from clic_edge.ledger import Ledger
from clic_edge.ledger.deliveries import ResultRow
from clic_edge.pacs.gateway import ArchiveGateway
from clic_edge.pipeline.picturing import PICTURED, Picture, picture_of
from clic_edge.web.access import account_of

_AT_ONCE: Final = 2
"""A large segmentation takes memory; more than so many are not opened side by side."""


def router(ledger: Ledger, archive: ArchiveGateway) -> APIRouter:
    """Return the routes of the pictures, for pages and for programs."""
    routes = APIRouter(
        prefix="/cases/{case_id}/pictures",
        dependencies=[Depends(account_of)],
        default_response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
        tags=["cases"],
    )
    makes = _Maker(ledger, archive)

    @routes.get("/{prediction_id}-outlines.png")
    async def outlines(case_id: str, prediction_id: str) -> Response:
        """Return the outlines of a segmentation, to lay over the picture of the same name."""
        async with makes.turn:
            picture = await makes.picture(case_id, prediction_id)
            return _png(await run_in_threadpool(picture.outlines))

    @routes.get("/{prediction_id}.png")
    async def plain(case_id: str, prediction_id: str) -> Response:
        """Return key slices of what a prediction was made of."""
        async with makes.turn:
            picture = await makes.picture(case_id, prediction_id)
            originals = [await archive.instance(one) for one in picture.originals]
            return _png(await run_in_threadpool(picture.plain, originals))

    return routes


class _Maker:
    """Makes pictures of what lies in the archive."""

    def __init__(self, ledger: Ledger, archive: ArchiveGateway) -> None:
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._ledger = ledger
        self._archive = archive

    async def picture(self, case_id: str, prediction_id: str) -> Picture:
        """Return the picture of what a case says of a prediction; answers 404 where there is none."""
        row = await run_in_threadpool(self._row, case_id, prediction_id)
        if row is None:
            raise _no_picture()
        segmentation = await self._archive.instance(row.sop_instance_uid)
        picture = await run_in_threadpool(picture_of, segmentation, row.digest)
        if picture is None:
            raise _no_picture()
        return picture

    def _row(self, case_id: str, prediction_id: str) -> ResultRow | None:
        case_detail(self._ledger, case_id)
        rows = self._ledger.deliveries.results(case_id)
        own = {one.kind: one for one in rows if one.prediction_id == prediction_id}
        return next((own[kind] for kind in PICTURED if kind in own), None)


def _no_picture() -> HTTPException:
    return HTTPException(HTTP_404_NOT_FOUND, "There is no such picture.")


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})
