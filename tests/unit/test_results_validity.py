"""What we write is valid DICOM to programs of others, over every real series that is a volume."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_series, series_of
from programs import assert_readable_report, errors_in, said, stored
from pydicom.sr.codedict import codes
from written import with_everything, write_all, write_told

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.result import ResultKind
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError, Defect
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Volume
    from clic_edge.results.writer import Analysis

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
LENIENT = VolumePolicy(gantry_tilt="shear", volumes="first", orientations="largest")
SEGMENTATIONS = {ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP}

VOLUMES = [
    ("ct-torso-siemens-j2k/image", "*"),
    ("mr-4d-epi-ge", "*"),
    ("mr-abdomen-pseudo-phi", "*"),
    ("mr-brain-oblique-ge", "*"),
    ("mr-brain-study3/11-T1post-18670", "*"),
    ("mr-brain-study3/11_HCropVolume", "*"),
    ("mr-enhanced", "BRTUM009.dcm"),
    ("mr-enhanced", "philips_1901_3DpCASL_enhanced.dcm"),
    ("mr-enhanced", "philips_IM_0027_fMAP.dcm"),
    ("mr-enhanced", "siemens_XA10_6_*.dcm"),
    ("mr-philips-classic-3dpcasl", "*"),
    ("mr-prostate-siemens-skyra/adc", "*"),
    ("mr-prostate-siemens-skyra/dwi", "*"),
    ("mr-prostate-siemens-skyra/pdref", "*"),
    ("mr-prostate-siemens-skyra/t2tra", "*"),
    pytest.param("pt-wholebody-ge/image", "*", marks=pytest.mark.slow),
    ("seg-sr/dcmqi", "segmentations_23x38x3_image_*.dcm"),
    ("seg-sr/dcmqi", "segmentations_23x38x3_multiframe_mf.dcm"),
    ("seg-sr/dcmqi", "segmentations_24x38x3_image_*.dcm"),
    ("seg-sr/dcmqi", "segmentations_24x38x3_multiframe_mf.dcm"),
]
"""Folder and file names below ``dicom/`` of every series that a volume can be made of."""

NO_VOLUME = {
    "charset": {"unsupported-object": 13},
    "ct-head-ge-tilt18.5": {"uneven-spacing": 1},
    "modalities": {"not-monochrome": 9, "single-slice": 6, "unsupported-object": 9},
    "mr-localizer-3planes-siemens": {"mixed-orientations": 1},
    "mr-missing-slice-siemens": {"missing-slices": 1},
    "mr-mosaic-siemens": {"mosaic": 2},
    "mr-uih-dwi": {"missing-geometry": 1},
    "odd/pydicom-test_files": {
        "duplicate-slices": 1,
        "not-monochrome": 9,
        "single-slice": 4,
        "unsupported-object": 4,
    },
    "phi-burned-in": {"not-monochrome": 1, "single-slice": 1, "unsupported-object": 1},
    "seg-sr": {"unsupported-object": 1},
    "seg-sr/dcmqi": {"single-slice": 1, "unsupported-object": 4},
    "seg-sr/highdicom": {"not-monochrome": 6, "single-slice": 1, "unsupported-object": 13},
    "sm-wholeslide": {"not-monochrome": 8},
    "transfer-syntaxes": {
        "duplicate-slices": 1,
        "missing-geometry": 1,
        "not-monochrome": 1,
        "single-slice": 1,
        "unsupported-object": 1,
    },
}
"""How many series of each other folder can't be one, and why."""

SLICES = 12

UNKNOWN_TO_DCMTK = ResultKind.SEG_LABELMAP
"""DCMTK 3.6.7 of 2022 opens no report that refers to such an image."""


def assert_valid(analysis: Analysis, folder: Path) -> None:
    analysis = with_everything(analysis)
    results = write_all(analysis)
    check(results, analysis)
    known = tuple(one for one in results if one.kind is not UNKNOWN_TO_DCMTK)
    results = (*results, *write_told(analysis, known))
    paths = stored(results, folder)
    originals = b"".join(one.content for one in analysis.series.instances)
    for path, result in paths.items():
        assert errors_in(path, result, originals) == []
        assert "(0010,0020)" in said("dcmdump", path)
        if pydicom.dcmread(path, stop_before_pixels=True).Modality in {"SR", "KO"}:
            assert_readable_report(path)
    assert_read_by_highdicom(results, analysis)
    for index, instance in enumerate(analysis.series.instances):
        (folder / f"original-{index}.dcm").write_bytes(instance.content)
    entities = said("dcentvfy", *sorted(folder.glob("*.dcm")))
    ours = [line for line in entities.splitlines() if "Error" in line]
    assert [line for line in ours if any(path.name in line for path in paths)] == []


def assert_read_by_highdicom(results: Iterable[ResultObject], analysis: Analysis) -> None:
    """Open each with the class that highdicom has for it, and count what it sees."""
    told = [one.voxel_count for one in analysis.prediction.segments if one.voxel_count]
    for result in results:
        file = io.BytesIO(result.content)
        if result.kind in SEGMENTATIONS:
            seg = highdicom.seg.segread(file)
            assert seg.segment_numbers == list(range(1, len(told) + 1))
            if result.kind is not ResultKind.SEG_FRACTIONAL:
                volume = seg.get_volume(
                    combine_segments=True, allow_missing_positions=True, rtol=0.1
                )
                assert np.bincount(np.asarray(volume.array).ravel())[1:].tolist() == told
        elif result.kind is ResultKind.SR:
            content = highdicom.sr.srread(file).content
            volumes = content.get_volumetric_roi_measurement_groups()
            segments = [one for one in volumes if one.reference_type == codes.DCM.ReferencedSegment]
            assert len(segments) == len(told)
            found = {one.tracking_uid for one in content.get_planar_roi_measurement_groups()}
            assert len(found) == len(told) + len(analysis.prediction.detections)
        elif result.kind is ResultKind.PM:
            assert highdicom.imread(file).number_of_frames > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "stack",
    [
        Stack(),
        Stack(modality="CT", slope=1.0, intercept=-1024.0),
        Stack(orientation=OBLIQUE, slice_step=2.5, pixel_spacing=(0.5, 0.75)),
        Stack(slice_step=-3.0),
    ],
    ids=["mr", "ct", "oblique", "reversed"],
)
@pytest.mark.parametrize("descending", [False, True])
def test_results_of_made_series_are_valid(stack: Stack, descending: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    assert_valid(analysis_of(make_series(stack), descending=descending), tmp_path)


def series_of_files(files: Iterable[Path]) -> Series:
    contents = [path.read_bytes() for path in files]
    first = pydicom.dcmread(io.BytesIO(contents[0]), stop_before_pixels=True, force=True)
    return Series(
        study_instance_uid=str(first.get("StudyInstanceUID", "")),
        series_instance_uid=str(first.get("SeriesInstanceUID", "")),
        patient_id=str(first.get("PatientID", "")),
        issuer_of_patient_id=str(first.get("IssuerOfPatientID", "")),
        instances=tuple(Instance(content=content) for content in contents),
    )


def volume_of(series: Series, policy: VolumePolicy = LENIENT) -> Volume:
    clean = CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )
    return build_volume(clean, policy)


def image_series(folder: Path) -> Iterator[list[Path]]:
    """Yield the files of each series of images, folder by folder."""
    series = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if "Rows" in ds:
            series[path.parent, str(ds.get("SeriesInstanceUID", ""))].append(path)
    yield from series.values()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, over odd files
def test_every_real_series_is_a_volume_or_stands_in_the_table_of_those_that_cannot_be(
    test_data: Path,
) -> None:
    root = test_data / "dicom"
    named = [getattr(one, "values", one) for one in VOLUMES]
    volumes = [sorted(root.joinpath(folder).glob(pattern)) for folder, pattern in named]
    others: dict[str, Counter[str]] = defaultdict(Counter)
    for files in image_series(root):
        if files in volumes:
            volumes.remove(files)
            continue
        with pytest.raises(ClicEdgeError) as caught:
            volume_of(series_of_files(files))
        others[str(files[0].parent.relative_to(root))][caught.value.code] += 1
    assert volumes == []
    assert others == NO_VOLUME


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "pattern"), VOLUMES)
def test_results_of_every_real_volume_are_valid(
    test_data: Path, tmp_path: Path, folder: str, pattern: str
) -> None:
    files = some_of(sorted((test_data / "dicom" / folder).glob(pattern)))
    series = series_of_files(files)
    if folder.startswith("ct-torso"):
        with pytest.raises(Defect, match="source-unidentified"):
            SegWriter().write(analysis_of(series, volume=volume_of(series)), ())
        series = identified(files)
    assert_valid(analysis_of(series, volume=volume_of(series)), tmp_path)


def some_of(files: list[Path]) -> list[Path]:
    """Return the files of neighbouring slices: a dozen say what all of them do.

    All files where some are of another volume: results must tell them apart.
    """
    sources = volume_of(series_of_files(files)).slices
    if len(sources) != len(files):
        return files
    middle = len(sources) // 2
    several = sources[max(middle - SLICES // 2, 0) : middle + SLICES // 2]
    return [files[index] for index in sorted({one.instance_index for one in several})]


def identified(files: Iterable[Path]) -> Series:
    """Return a series whose files lack what nothing can be referred to without."""
    datasets = [pydicom.dcmread(path) for path in files]
    for ds in datasets:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    return series_of(datasets)


def test_a_result_without_any_voxel_is_a_valid_report(tmp_path: Path) -> None:
    analysis = analysis_of(mask=np.zeros((8, 10, 12), np.uint8))
    assert SegWriter().write(analysis, ()) == ()
    results = write_all(analysis)
    check(results, analysis)
    assert ResultKind.SR in {one.kind for one in results}
    for path, result in stored(results, tmp_path).items():
        assert errors_in(path, result, b"") == []
