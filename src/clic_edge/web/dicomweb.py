"""`/dicom-web`: the viewer's way to the images. It reads; nothing can be stored or deleted here."""

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from clic_edge.pacs.gateway import ArchiveGateway, Question


def router(archive: ArchiveGateway) -> APIRouter:
    """Return the route to QIDO-RS and WADO-RS of the appliance's Orthanc."""
    routes = APIRouter()

    @routes.get("/dicom-web/{path:path}")
    async def read(path: str, request: Request) -> Response:
        answer = await archive.dicomweb(
            Question(
                path=path,
                query=request.url.query,
                accept=request.headers.get("Accept", ""),
                asked_as=str(request.base_url).rstrip("/"),
            )
        )
        if answer is None:
            return Response(status_code=404)
        return StreamingResponse(answer.body, answer.status, answer.headers)

    return routes
