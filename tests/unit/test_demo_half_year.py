"""The half year that the demo replays ends with the alarms that its story has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sites import ROOT

from clic_edge.app import Appliance
from clic_edge.demo.half_year import CHANGED_DAY, DAYS, UPGRADED_DAY, replay
from clic_edge.demo.site import Orthanc, Site
from clic_edge.domain.monitoring import Severity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_change_that_nobody_told_of_is_confirmed_and_a_new_software_is_named(
    tmp_path: Path,
) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "{tmp_path}"\npipelines = "{ROOT}/configs/pipelines"\n'
        f'models = "{ROOT}/models"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "out"\n'
    )
    nobody = Orthanc(name="", ae_title="", http_port=0, dicom_port=0)
    site = Site(pacs=nobody, appliance=nobody, web_port=0, settings=settings)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    alarms = replay(site, now)
    begin = now.replace(hour=7) - timedelta(days=DAYS)
    changed_at = begin + timedelta(days=CHANGED_DAY)
    confirmed = {
        one.chart
        for one in alarms
        if one.severity is Severity.ACTION
        and one.stratum.model_name == "Skyra"
        and changed_at <= one.opened_at <= changed_at + timedelta(days=14)
    }
    assert len(confirmed) > 3
    (new,) = (one for one in alarms if one.chart == "stratum")
    assert new.stratum.software_versions == "5.9"
    assert new.opened_at >= begin + timedelta(days=UPGRADED_DAY)
    states = Appliance.open(settings).ledger.overview.arrivals(begin, now)
    assert len(states) > 2000
