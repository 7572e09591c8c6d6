"""How images were made is logged as DICOM says it; what staff typed is logged as a digest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import CANARY, Stack, file_bytes, make_datasets, ramp, series_of
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from clic_edge.deid import DeidKey, Profile, deidentify
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.drift.features import input_features
from clic_edge.pipeline.seeing import free_texts

KEY = DeidKey(b"one key of thirty-two bytes, yes")
WATCHED = Profile(
    name="watched",
    options=frozenset({"retain_device_identity", "retain_patient_characteristics"}),
)


def logged(**attributes: object) -> dict[str, float | str]:
    """Return what is logged of a canary's series with these attributes, as after cleaning it."""
    datasets = make_datasets(Stack(patient=CANARY, modality="CT"), ramp())
    for dataset in datasets:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return of_series(datasets)


def of_series(datasets: list[Dataset]) -> dict[str, float | str]:
    series = series_of(datasets)
    clean = deidentify(series, WATCHED, KEY.pseudonym(CANARY.patient_id, ""))
    volume = build_volume(clean, VolumePolicy())
    features = (*input_features(volume), *free_texts(series, volume, KEY))
    return {
        one.name.removeprefix("input."): one.text if one.number is None else one.number
        for one in features
    }


def test_what_a_scanner_says_of_dose_and_reconstruction_is_logged() -> None:
    found = logged(
        CTDIvol=12.5,
        Exposure=110,
        ExposureTime=500,
        XRayTubeCurrent=220,
        SpiralPitchFactor=0.9,
        ReconstructionDiameter=350,
        FilterType="WEDGE_2",
        StationName="CT12",
    )
    assert found["ctdi_vol_mgy"] == 12.5
    assert (found["exposure_mas"], found["x_ray_tube_current_ma"]) == (110, 220)
    assert (found["exposure_time_ms"], found["spiral_pitch_factor"]) == (500, 0.9)
    assert (found["reconstruction_diameter_mm"], found["filter_type"]) == (350, "WEDGE_2")
    assert (found["station_name"], found["patient_position"]) == ("CT12", "HFS")


def test_what_nobody_but_the_monitor_reads_may_be_unusable() -> None:
    found = logged(CTDIvol=float("nan"), Exposure=110)
    assert "ctdi_vol_mgy" not in found
    assert found["exposure_mas"] == 110


def test_the_injected_activity_is_logged_where_the_profile_keeps_it() -> None:
    datasets = make_datasets(Stack(patient=CANARY, modality="PT"), ramp())
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 2.5e8, 6586
    for dataset in datasets:
        dataset.SOPClassUID = PositronEmissionTomographyImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        dataset.RadiopharmaceuticalInformationSequence = [drug]
    assert of_series(datasets)["radionuclide_total_dose_bq"] == 2.5e8


@pytest.mark.parametrize("keyword", ["ProtocolName", "ReceiveCoilName"])
def test_of_what_staff_typed_there_is_a_digest_and_not_a_word(keyword: str) -> None:
    named = {keyword: "t1 Zzyzx"}
    datasets = make_datasets(Stack(patient=replace(CANARY, name="A^B")), ramp())
    for dataset in datasets:
        setattr(dataset, keyword, named[keyword])
    found = of_series(datasets)
    name = {"ProtocolName": "protocol_name", "ReceiveCoilName": "receive_coil_name"}[keyword]
    assert found[name] == KEY.stand_in(name, named[keyword])
    assert not [value for value in found.values() if "zzyzx" in str(value).lower()]
    assert file_bytes(datasets[0]).count(b"Zzyzx") == 1, "it was there to be found"


def test_a_digest_tells_texts_apart_and_needs_the_key() -> None:
    digest = KEY.stand_in("protocol_name", "t1 mprage")
    assert len(digest) == 8
    assert digest == KEY.stand_in("protocol_name", " t1 mprage ")
    assert digest != KEY.stand_in("protocol_name", "t2 flair")
    assert digest != KEY.stand_in("receive_coil_name", "t1 mprage")
    assert digest != DeidKey(b"another key of thirty-two bytes!").stand_in(
        "protocol_name", "t1 mprage"
    )
