"""Back-pressure at the door of a real Orthanc: no worker runs, and its queue is full."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Stack, make_datasets
from pynetdicom import AE, evt
from servers import OrthancServer, free_port, wait_for
from sites import SiteOptions, appliance_orthanc, patient, plan_site

from clic_edge.app import Appliance
from clic_edge.domain.case import CaseState
from clic_edge.domain.pressure import Pressure
from clic_edge.ledger.cases import Admission
from clic_edge.ledger.database import migrate
from clic_edge.pacs.association import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

pytestmark = [pytest.mark.servers, pytest.mark.slow]
VOXELS = np.zeros((3, 4, 5), np.int16)
REFUSE = '[intake]\nfull_at_cases = 1\nwhen_full = "refuse"\n'


@pytest.fixture
def nobody(tmp_path: Path) -> OrthancServer:
    """Return a PACS that does not run: nothing is delivered here."""
    return OrthancServer(
        url=f"http://127.0.0.1:{free_port()}",
        dicom_port=free_port(),
        ae_title="PACS",
        storage=tmp_path,
        log_path=tmp_path / "none",
        pid=0,
    )


def test_a_full_queue_leaves_new_studies_with_their_sender_and_takes_the_rest_of_those_begun(
    tmp_path: Path, nobody: OrthancServer
) -> None:
    site = plan_site(tmp_path / "site", SiteOptions(more=REFUSE), nobody)
    migrate(Appliance.open(site.settings).engine)
    begun, new = (make_datasets(Stack(patient=patient(number)), VOXELS) for number in (1, 2))
    with appliance_orthanc(site) as orthanc:
        assert _statuses(orthanc, begun[:1]) == [0x0000]
        waits = Admission(case_id="1", study_id="1", pipeline="hippocampus", series_ids=("1",))
        site.ledger.cases.admit(waits)
        wait_for(lambda: bool(site.ledger.pressure.standing()), "the plugin sees the queue")
        assert _statuses(orthanc, new) == [0xA700] * len(new)
        assert _statuses(orthanc, begun) == [0x0000] * len(begun)
        (weighs,) = site.ledger.pressure.standing()
        assert weighs.pressure is Pressure.QUEUE
        case = site.ledger.cases.begin("1", 0)
        assert case
        site.ledger.cases.close(case, CaseState.REFUSED)
        wait_for(lambda: not site.ledger.pressure.standing(), "the plugin sees that it is empty")
        assert _statuses(orthanc, new) == [0x0000] * len(new)


def _statuses(orthanc: OrthancServer, datasets: Sequence[Dataset]) -> list[int]:
    """Send datasets in one association, and return what is answered to each."""
    ae = AE("MODALITY")
    first = datasets[0]
    ae.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
    association = ae.associate(
        "127.0.0.1",
        orthanc.dicom_port,
        ae_title=orthanc.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, prepare, [threading.Event()])],
    )
    assert association.is_established
    answers = [association.send_c_store(one).Status for one in datasets]
    association.release()
    return answers
