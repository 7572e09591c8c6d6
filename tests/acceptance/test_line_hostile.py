"""Studies made to harm end by name, and the good one that came with them is delivered."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from hostile_doors import by_c_store, by_command, by_instances, by_stow, deep, nesting_guard
from hostile_files import study_handle
from hostile_studies import HOSTILE, SCRIPT, send_files
from sites import hippocampus_study, results_in

from clic_edge.domain.case import CaseState
from clic_edge.pacs.guarding import says_guarded
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from sites import Site

pytestmark = pytest.mark.servers
FIRST = 700


def test_hostile_studies_end_by_name_and_the_good_one_among_them_is_delivered(site: Site) -> None:
    for number, study in enumerate(HOSTILE.values(), FIRST):
        assert send_files(study.files(number), site.orthanc, study.syntax) == {study.status}
    with closing(HttpRest(OrthancPeer(url=site.orthanc.url))) as orthanc:
        assert says_guarded(orthanc) == bool(nesting_guard())
    if nesting_guard():
        assert by_c_store(deep(100_000), site.orthanc) is None
        assert by_command(20_000, site.orthanc)
        assert {door(deep(100_000), site.orthanc) for door in (by_instances, by_stow)} == {400}
    good = site.send(hippocampus_study(FIRST))
    ends = {}
    stored = {name: study for name, study in HOSTILE.items() if study.state}
    for number, name in enumerate(HOSTILE, FIRST):
        if name not in stored:
            assert site.cases(study_handle(number)) == ()
            continue
        case = site.await_case(study_handle(number), CaseState.REFUSED, CaseState.QUARANTINED)
        ends[name] = (case.state, case.code)
        assert SCRIPT[:8] not in case.reason
    site.await_case(good, CaseState.DELIVERED)
    assert ends == {name: (study.state, study.code) for name, study in stored.items()}
    assert len(results_in(site.pacs, good)) == 2
    series = httpx.get(f"{site.orthanc.url}/dicom-web/series", trust_env=False)
    assert series.is_success, "the viewer's question does not end Orthanc"
    assert "Traceback" not in site.log.read_text(), "no error came as a surprise"
