"""What browsers ask the archive for stays between the two of them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from factories import CANARY
from faulty_pacs import answering_http

from clic_edge.pacs.gateway import ArchiveGateway, Question
from clic_edge.pacs.rest import OrthancPeer

if TYPE_CHECKING:
    import pytest


def test_no_log_record_quotes_a_search_for_a_patient(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def search(url: str) -> int:
        gateway = ArchiveGateway(OrthancPeer(url=url))
        query = f"PatientID={CANARY.patient_id}"
        answer = await gateway.dicomweb(Question(path="studies", query=query))
        await gateway.close()
        assert answer
        return answer.status

    with answering_http(200, body=b"[]") as url:
        assert asyncio.run(search(url)) == 200
    assert CANARY.patient_id not in caplog.text
