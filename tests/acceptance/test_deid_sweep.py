"""A worker deletes the ways back whose day has passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from servers import wait_for

from clic_edge.config import load_settings
from clic_edge.deid.crosswalk import SUFFIX, Entry, seal
from clic_edge.deid.keys import load_key

if TYPE_CHECKING:
    from sites import Site

pytestmark = pytest.mark.servers
ENTRY = Entry(
    subject_id="CE-X", patient_id="1", issuer_of_patient_id="", patient_name="Canary", uids={}
)


def test_a_way_back_is_deleted_when_its_day_has_passed_and_the_log_tells_no_more(
    site: Site,
) -> None:
    appliance = load_settings(site.settings).appliance
    folder, key = appliance.crosswalks, load_key(appliance.deid_key)
    now = datetime.now(UTC)
    # Not yet: the worker looks twice a second, and would take it away under the hand that makes it.
    for scope, left in (("2.25.11", timedelta(seconds=5)), ("2.25.12", timedelta(days=1))):
        seal(folder, scope, ENTRY, key=key, expires_at=now + left)
    expired, valid = (folder / f"2.25.{number}{SUFFIX}" for number in (11, 12))
    wait_for(lambda: not expired.exists(), "the expired crosswalk is deleted", 30)
    wait_for(lambda: "crosswalks-expired" in site.log.read_text(), "the log says so", 10)
    assert valid.exists()
    assert "2.25.11" not in site.log.read_text()
