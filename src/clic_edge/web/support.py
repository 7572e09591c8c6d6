"""`/support-bundle`: the appliance without patients, staff and secrets, to download."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from clic_edge.domain.account import Account, Role
from clic_edge.ledger import Ledger
from clic_edge.ledger.records import AuditEvent
from clic_edge.web.access import at_least

_Administrator = Annotated[Account, Depends(at_least(Role.ADMINISTRATOR))]


def router(ledger: Ledger, make: Callable[[], bytes]) -> APIRouter:
    """Return the route of the download; who took a bundle stands in the audit trail."""
    routes = APIRouter()

    @routes.post("/support-bundle")
    def bundle(account: _Administrator) -> Response:
        now = datetime.now(UTC)
        content = make()
        event = AuditEvent(
            at=now, action="support-bundle", person=account.name, detail=f"{len(content)} bytes"
        )
        ledger.records.note(event)
        name = f"clic-edge-support-{now:%Y%m%d-%H%M}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/zip", headers=headers)

    return routes
