"""`/`: is everything well?"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from clic_edge.board.overview import Overview, Surroundings, overview
from clic_edge.ledger import Ledger
from clic_edge.pacs.gateway import ArchiveGateway
from clic_edge.web.access import account_of
from clic_edge.web.hours import hours_chart
from clic_edge.web.rendering import Pages


class Look:
    """Looks at the appliance as it is now."""

    def __init__(
        self,
        ledger: Ledger,
        archive: ArchiveGateway,
        folder: Path,
        *,
        certificate_ends: datetime | None = None,
    ) -> None:
        """Look at a ledger, an archive, the disk that a folder is on, and a certificate's end."""
        self._ledger = ledger
        self._archive = archive
        self._folder = folder
        self._certificate_ends = certificate_ends

    async def now(self) -> Overview:
        """Return how the appliance is."""
        answers = await self._archive.answers()
        return await run_in_threadpool(self._seen, answers)

    def _seen(self, archive_answers: bool) -> Overview:  # noqa: FBT001 - run_in_threadpool passes it
        disk = shutil.disk_usage(self._folder)
        around = Surroundings(
            archive_answers=archive_answers,
            free_bytes=disk.free,
            total_bytes=disk.total,
            certificate_ends=self._certificate_ends,
        )
        return overview(self._ledger, around, datetime.now(UTC))


def router(look: Look, pages: Pages) -> APIRouter:
    """Return the route of the first page."""
    routes = APIRouter(dependencies=[Depends(account_of)])

    @routes.get("/")
    async def first(request: Request) -> Response:
        seen, language = await look.now(), pages.language(request)
        drawn = hours_chart(seen, language)
        return pages.page(request, "overview.html", overview=seen, hours=drawn)

    return routes


def api(look: Look) -> APIRouter:
    """Return the same for programs."""
    routes = APIRouter(tags=["overview"])

    @routes.get("/overview")
    async def now() -> Overview:
        """Return whether everything is well, and today in numbers."""
        return await look.now()

    return routes
