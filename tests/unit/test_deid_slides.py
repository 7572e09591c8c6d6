from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import CANARY, series_of
from slides import Scan, painting, pyramid, sm_image

from clic_edge.deid import deidentify
from clic_edge.deid.keys import DeidKey
from clic_edge.deid.profile import BASIC, Profile
from clic_edge.dicom.slides import build_slide
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from slides import Codec

    from clic_edge.domain.clean import CleanSeries

PIXELS = painting(130, 200, nuclei=5).pixels
SCAN = Scan(patient=CANARY)


def cleaned(datasets: list[Dataset], profile: Profile = BASIC) -> CleanSeries:
    series = series_of(datasets)
    pseudonym = DeidKey(b"k" * 32).pseudonym(series.patient_id, "")
    return deidentify(series, profile, pseudonym)


@pytest.mark.parametrize("codec", ["native", "jpeg", "jpeg2000"])
def test_no_canary_leaves_a_slide_and_every_pixel_stays(codec: Codec) -> None:
    images = pyramid(Scan(patient=CANARY, codec=codec, full=False), PIXELS)
    images[0].SpecimenDescriptionSequence[0].SpecimenShortDescription = CANARY.name
    images[0].SpecimenDescriptionSequence[0].SpecimenDetailedDescription = CANARY.patient_id
    clean = cleaned(images)
    words = (
        *CANARY.name.split("^"),
        CANARY.patient_id,
        CANARY.birth_date,
        CANARY.accession_number,  # also in container, specimen, barcode and label text
        CANARY.uid_root,
    )
    for instance in clean.instances:
        assert [word for word in words if word.encode() in instance.content] == []
    level = build_slide(clean).levels[0]
    found = level.tiles(0, 0, columns=200, rows=130)
    assert np.abs(found.astype(int) - PIXELS).mean() < (3 if codec == "jpeg" else 1e-9)


@pytest.mark.parametrize("treatment", ["refuse", "redact", "redact-all", "keep"])
@pytest.mark.parametrize("flavour", ["LABEL", "OVERVIEW", "THUMBNAIL"])
def test_no_profile_lets_a_label_or_an_overview_pass_whatever_it_says(
    flavour: str, treatment: str
) -> None:
    image = sm_image(SCAN, PIXELS, flavour=flavour)
    image.BurnedInAnnotation = image.SpecimenLabelInImage = "NO"
    with pytest.raises(Refusal) as caught:
        cleaned([image], Profile(name="p", pixels=treatment))  # type: ignore[arg-type] # literals
    assert caught.value.code == "unsafe-pixels"


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("SpecimenLabelInImage", "YES", "unsafe-pixels"),
        ("SpecimenLabelInImage", "", "unsafe-pixels"),
        ("ImageType", ["ORIGINAL", "PRIMARY"], "unsafe-pixels"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "VOLUME", "LABEL"], "unsafe-pixels"),
        ("BurnedInAnnotation", "YES", "burned-in-annotation"),
        ("BurnedInAnnotation", "", "unsafe-pixels"),
    ],
)
def test_tissue_passes_only_where_it_says_that_no_label_and_no_text_is_in_it(
    keyword: str, value: object, code: str
) -> None:
    image = sm_image(SCAN, PIXELS)
    cleaned([image])
    setattr(image, keyword, value)
    with pytest.raises(Refusal) as caught:
        cleaned([image])
    assert caught.value.code == code
