"""A reader opens a case in the viewer on the box: each coloured pixel lies where the mask says."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from analyses import analysis_of, series_in
from browsers import IS_DRAWN, LOAD_SECONDS, Look, Viewer, chromium, dice, viewer_in
from factories import Stack, make_series, series_of
from logins import sign_in
from pages import VIEWER, Pages, served, serving
from scipy.spatial.transform import Rotation
from servers import orthanc_server
from sites import (
    SiteOptions,
    hippocampus_study,
    ours_in,
    patient,
    running_site,
    study_handle,
)
from written import write_all, write_told

from clic_edge.app import Appliance
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind
from clic_edge.domain.volume import Geometry
from clic_edge.ledger import Ledger
from clic_edge.results.colours import colour_of
from clic_edge.results.seg import SegWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import BrowserContext
    from servers import OrthancServer

    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

pytestmark = [pytest.mark.servers, pytest.mark.slow]
SHAPE = (16, 80, 64)
OVERLAP = 0.9
"""Dice of each segment on each slice; its outline is drawn some pixels wide."""
ALIKE = 0.9
"""Correlation of brightness with the images' values."""


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium(width=1000, height=640) as browser:
        yield browser


@pytest.fixture(scope="module")
def archive(browser: BrowserContext) -> Iterator[OrthancServer]:  # noqa: ARG001 - without one, none is needed
    with orthanc_server() as server:
        yield server


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, archive: OrthancServer, browser: BrowserContext
) -> Iterator[Pages]:
    with served(tmp_path_factory.mktemp("pages"), archive) as pages:
        sign_in(browser, pages.url)
        yield pages


@pytest.fixture
def viewer(browser: BrowserContext) -> Iterator[Viewer]:
    with viewer_in(browser) as viewer:
        yield viewer


def painted(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint8]:
    """Return three segments whose pattern no flip, shift or turn maps onto itself."""
    slices, rows, columns = shape
    mask = np.zeros(shape, np.uint8)
    mask[2:-3, rows // 8 : rows // 2, columns // 10 : columns // 3] = 1
    mask[2:-3, rows // 8 : rows // 5, columns // 10 : columns // 2] = 1
    mask[slices // 3 :, 3 * rows // 5 : 4 * rows // 5, columns // 4 : 9 * columns // 10] = 2
    mask[: slices // 2, rows // 6 : rows // 3, 3 * columns // 5 : 4 * columns // 5] = 3
    return mask


def landscape(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.int16]:
    """Return voxels that differ in every direction, so that a picture of them is of one place."""
    at = np.indices(shape)
    waves = np.sin(at[1] / 5) + np.cos(at[2] / 7) + at[1] / 40 + at[2] / 25 + at[0] / 8
    return (200 + 100 * waves).astype(np.int16)


def oblique(*, step: float = 1.0) -> Stack:
    """Return slices that lie askew in every axis, with rows that run to the left and up."""
    row, column, _ = Rotation.from_euler("xyz", [25, -35, 160], degrees=True).as_matrix().T
    cosines = tuple(round(float(x), 9) for x in (*row, *column))
    return Stack(orientation=cosines, pixel_spacing=(1.2, 0.9), slice_step=step)


def flipped() -> Stack:
    """Return axial slices whose rows run from left to right and from front to back."""
    return Stack(orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), pixel_spacing=(0.8, 1.1))


def sagittal() -> Stack:
    """Return slices from the side."""
    return Stack(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0), slice_step=2.0)


def made(stack: Stack, number: int) -> Analysis:
    """Return a painted study."""
    series = make_series(replace(stack, patient=patient(number)), landscape())
    return analysis_of(series, mask=painted())


def torso(test_data: Path) -> Analysis:
    """Return a real CT, JPEG 2000, with three organs that TotalSegmentator found in it."""
    folder = test_data / "dicom" / "ct-torso-siemens-j2k"
    datasets = [pydicom.dcmread(path) for path in sorted((folder / "image").glob("CT.*"))]
    for ds in datasets:
        # Who published it took away what nothing can be referred to without.
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
        ds.PatientID = "TORSO"
    analysis = analysis_of(series_of(datasets))
    geometry = analysis.prediction.geometry
    image = nibabel.load(folder / "example_seg_dicom.nii.gz")
    # NIfTI counts to the right and front; here is LPS.
    to_nifti = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ image.affine) @ geometry.affine
    at = np.indices(geometry.shape).reshape(3, -1)
    there = np.rint(to_nifti[:3, :3] @ at + to_nifti[:3, 3:]).astype(int)
    names = np.asarray(image.dataobj)[tuple(there)].reshape(geometry.shape)
    mask = sum((number * (names == name)).astype(np.uint8) for number, name in ORGANS.items())
    return analysis_of(analysis.series, mask=np.asarray(mask, np.uint8))


ORGANS = {1: 5, 2: 1, 3: 52}
"""Liver, spleen, aorta, by our number and TotalSegmentator's."""


def brain(test_data: Path) -> Analysis:
    """Return a real oblique MR with a painted mask."""
    series = series_in(test_data / "dicom" / "mr-brain-study3" / "11-T1post-18670")
    shape = analysis_of(series).prediction.geometry.shape
    return analysis_of(series, mask=painted(shape))


STUDIES: dict[str, Callable[[Path], Analysis]] = {
    "axial": lambda _: made(Stack(), 701),
    "flipped": lambda _: made(flipped(), 702),
    "sagittal": lambda _: made(sagittal(), 703),
    "oblique": lambda _: made(oblique(), 704),
    "oblique-descending": lambda _: made(oblique(step=-1.5), 705),
    "real-ct": torso,
    "real-mr": brain,
}


def deliver(analysis: Analysis, pages: Pages, archive: OrthancServer, *kinds: ResultKind) -> str:
    """Put a study and its results where the pages find them; return the case."""
    if kinds == (ResultKind.SEG,):  # the first of all, which knows of no other
        return keep(analysis, SegWriter().write(analysis, ()), pages, archive)
    results = write_all(analysis)
    results = tuple(one for one in (*results, *write_told(analysis, results)) if one.kind in kinds)
    return keep(analysis, results, pages, archive)


def keep(
    analysis: Analysis, results: tuple[ResultObject, ...], pages: Pages, archive: OrthancServer
) -> str:
    """Put images and results into the archive, and a case of them into the ledger."""
    for content in [one.content for one in (*analysis.series.instances, *results)]:
        archive.post("/instances", content)
    case_id = pages.admit(study_handle(header(analysis)))
    Ledger.on(pages.appliance.engine).deliveries.record(case_id, results)
    return case_id


def header(analysis: Analysis) -> pydicom.Dataset:
    """Return the header of an image."""
    return pydicom.dcmread(io.BytesIO(analysis.series.instances[0].content), force=True)


def overlaps(look: Look, expected: NDArray[np.generic]) -> dict[int, float]:
    """Return the Dice of each segment, drawn against expected, in one picture."""
    return {
        number: dice(look.labels == number, expected == number)
        for number in look.colors
        if (expected == number).any() or (look.labels == number).any()
    }


def voxels_of(analysis: Analysis) -> NDArray[np.float64]:
    """Return the images as they are stored, slice for slice of the mask."""
    files = [io.BytesIO(one.content) for one in analysis.series.instances]
    images = [pydicom.dcmread(file, force=True).pixel_array for file in files]
    return np.stack([images[one.instance_index] for one in analysis.slices]).astype(float)


def likeness(look: Look, prediction: Prediction, images: NDArray[np.float64]) -> float:
    """Return how the pixels between the segments follow those of the images at the same places."""
    grey = look.expected(images, prediction.geometry)
    expected = look.expected(prediction.label_map, prediction.geometry)
    free = (expected == 0) & (look.labels == 0) & (grey > np.median(images))
    brightness = look.rgb.mean(axis=-1)
    inside = free & (brightness > 0) & (brightness < 255)
    return float(np.corrcoef(brightness[inside], grey[inside])[0, 1]) if inside.any() else 0.0


def all_fit(analysis: Analysis) -> Callable[[Look], bool]:
    """Return whether every segment that a picture shows lies where the mask says, all of them in it."""
    prediction = analysis.prediction

    def fits(look: Look) -> bool:
        found = overlaps(look, look.expected(prediction.label_map, prediction.geometry))
        return set(found) == {1, 2, 3} and min(found.values()) >= OVERLAP

    return fits


@pytest.mark.parametrize("name", STUDIES)
def test_every_coloured_pixel_lies_where_the_mask_says(
    viewer: Viewer, pages: Pages, archive: OrthancServer, request: pytest.FixtureRequest, name: str
) -> None:
    data = request.getfixturevalue("test_data") if name.startswith("real") else None
    analysis = STUDIES[name](data)
    prediction, images = analysis.prediction, voxels_of(analysis)
    case_id = deliver(analysis, pages, archive, ResultKind.SEG)
    viewer.open(f"{pages.url}/open/{case_id}")
    viewer.shoot(f"viewer-{name}")
    seen = set[int]()

    def fits(look: Look) -> bool:
        found = overlaps(look, look.expected(prediction.label_map, prediction.geometry))
        return (
            min(found.values(), default=1) >= OVERLAP and likeness(look, prediction, images) > ALIKE
        )

    looks = [viewer.look(fits)]  # where the viewer opens by itself
    for part in (1, 3):
        viewer.go_to(part * viewer.slices // 4)
        looks.append(viewer.look(fits))
    for look in looks:
        expected = look.expected(prediction.label_map, prediction.geometry)
        found = overlaps(look, expected)
        assert all(overlap >= OVERLAP for overlap in found.values()), found
        seen |= set(found)
        mirrored = [overlaps(look, expected[:, ::-1]), overlaps(look, expected[::-1])]
        assert all(min(each.values(), default=0) < OVERLAP for each in mirrored), mirrored
        assert likeness(look, prediction, images) > ALIKE
    assert overlaps(looks[0], looks[0].expected(prediction.label_map, prediction.geometry))
    assert seen == {1, 2, 3}
    for number, color in looks[0].colors.items():
        assert color == pytest.approx(colour_of(number), abs=3), "as in pictures and outlines"
    assert viewer.hosts - {"blob", "data"} == {pages.url.removeprefix("http://")}


def test_a_mirrored_segmentation_would_be_seen(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    series = make_series(replace(oblique(), patient=patient(711)), landscape())
    mirrored = analysis_of(series, mask=painted()[:, :, ::-1].copy())
    viewer.open(f"{pages.url}/open/{deliver(mirrored, pages, archive, ResultKind.SEG)}")
    look = viewer.look()
    geometry = mirrored.prediction.geometry
    assert (
        min(overlaps(look, look.expected(mirrored.prediction.label_map, geometry)).values()) > 0.9
    )
    assert max(overlaps(look, look.expected(painted(), geometry)).values()) < 0.8


def test_a_label_map_is_shown_as_a_binary_segmentation_is(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    analysis = made(oblique(), 712)
    viewer.open(f"{pages.url}/open/{deliver(analysis, pages, archive, ResultKind.SEG_LABELMAP)}")
    viewer.shoot("viewer-labelmap")
    look = viewer.look(all_fit(analysis))
    expected = look.expected(analysis.prediction.label_map, analysis.prediction.geometry)
    found = overlaps(look, expected)
    assert set(found) == {1, 2, 3}
    assert min(found.values()) >= OVERLAP


def body(organs: int) -> Analysis:
    """Return a study with as many organs as a model of the whole body finds, one beside another."""
    shape = (32, 128, 128)
    at, within = np.divmod(np.indices(shape), 16)
    blocks = 1 + at[0] * 64 + at[1] * 8 + at[2]
    taken = (blocks <= organs) & (within[1] < 12) & (within[2] < 10)
    mask = np.where(taken, blocks, 0).astype(np.uint8)
    series = make_series(Stack(patient=patient(721)), landscape(shape))
    analysis = analysis_of(series, mask=np.minimum(mask, 1))
    (first, *_) = analysis.prediction.segments
    mask.flags.writeable = False
    found = tuple(
        replace(
            first,
            definition=replace(first.definition, number=n, name=f"organ-{n}", label=f"Organ {n}"),
            voxel_count=int((mask == n).sum()),
        )
        for n in range(1, organs + 1)
    )
    return replace(
        analysis, prediction=replace(analysis.prediction, label_map=mask, segments=found)
    )


def test_a_hundred_organs_are_shown_and_the_browser_lives(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    analysis = body(104)
    results = SegWriter().write(analysis, ())
    case_id = keep(analysis, results, pages, archive)
    viewer.open(f"{pages.url}/open/{case_id}")
    viewer.shoot("viewer-104-organs")
    look = viewer.look()
    expected = look.expected(analysis.prediction.label_map, analysis.prediction.geometry)
    assert len(np.unique(expected)) > 40
    assert dice(look.labels > 0, expected > 0) >= OVERLAP
    assert dice(look.labels > 0, expected[:, ::-1] > 0) < OVERLAP, "mirrored"
    # OHIF mixes the colours of neighbours when there are many.
    unmixed = (expected > 0) & (expected <= 20)
    assert np.mean(look.likeness(expected)[unmixed] > 0.95) > OVERLAP
    viewer.page.get_by_text("Organ 104", exact=True).wait_for(state="attached")


def test_a_case_opens_again_and_again_from_what_the_browser_keeps(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    case_id = deliver(made(Stack(), 713), pages, archive, ResultKind.SEG)
    for _ in range(2):
        viewer.open(f"{pages.url}/open/{case_id}")
        assert (viewer.look(lambda look: bool((look.labels > 0).any())).labels > 0).any()


def test_each_series_is_shown_with_its_own_segmentation_when_it_is_opened(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    parts = [
        analysis_of(make_series(stack, landscape()), mask=painted())
        for stack in (
            Stack(patient=patient(720), description="first"),
            Stack(
                patient=patient(720), series_number=2, description="second", origin=(90, -20, 30)
            ),
        )
    ]
    for part in parts:
        deliver(part, pages, archive, ResultKind.SEG)
    study = header(parts[0]).StudyInstanceUID
    viewer.open(f"{pages.url}/viewer/viewer?StudyInstanceUIDs={study}")
    for part in parts:
        name = header(part).SeriesDescription
        viewer.page.locator("[data-cy=study-browser-thumbnail]", has_text=name).dblclick()
        viewer.page.locator("[data-cy=viewport-pane]", has_text=name).wait_for()
        viewer.wait()
        look = viewer.look(all_fit(part))
        expected = look.expected(part.prediction.label_map, part.prediction.geometry)
        found = overlaps(look, expected)
        assert set(found) == {1, 2, 3}
        assert min(found.values()) >= OVERLAP
    viewer.shoot("viewer-two-series")


def test_each_measurement_of_a_report_is_drawn_with_the_models_number(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    analysis = made(Stack(), 714)
    case_id = deliver(analysis, pages, archive, ResultKind.SR)
    viewer.page.goto(f"{pages.url}/open/{case_id}")
    for one in analysis.prediction.segments:
        number = viewer.page.get_by_text(f"Volume: {one.volume_mm3:.2f} mm3").first
        number.wait_for(timeout=LOAD_SECONDS * 1000)
        viewer.shoot(f"viewer-sr-{one.definition.name}")
        viewer.page.locator("[data-cy=viewport-pane] svg.rotate-180").click()


def test_a_report_of_what_was_not_found_is_read_as_text(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    mask = painted()
    mask[mask == 3] = 0
    series = make_series(Stack(patient=patient(719)), landscape())
    analysis = analysis_of(series, mask=mask)
    viewer.page.goto(f"{pages.url}/open/{deliver(analysis, pages, archive, ResultKind.SR)}")
    viewer.page.get_by_text("Imaging Measurement Report").wait_for(timeout=LOAD_SECONDS * 1000)
    viewer.shoot("viewer-sr-text")
    text = viewer.page.inner_text("body")
    for one in analysis.prediction.segments:
        assert f"{one.definition.label} " in text
        assert f"{one.volume_mm3:.0f} mm3" in text


def test_a_reader_is_told_what_was_not_analysed(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    case_id = deliver(made(Stack(), 715), pages, archive, ResultKind.SUMMARY)
    viewer.page.goto(f"{pages.url}/open/{case_id}")
    viewer.page.get_by_text("Imaging Measurement Report").wait_for(timeout=LOAD_SECONDS * 1000)
    viewer.shoot("viewer-root")
    text = viewer.page.inner_text("body")
    assert "not analysed: The slices lie 5 mm apart." in text
    assert "AI result, not verified" in text


def test_a_picture_with_its_legend_is_shown(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    analysis = made(Stack(), 716)
    case_id = deliver(analysis, pages, archive, ResultKind.SC)
    viewer.page.goto(f"{pages.url}/open/{case_id}")
    viewer.page.wait_for_function(IS_DRAWN, timeout=LOAD_SECONDS * 1000)
    viewer.go_to(viewer.slices // 2)
    viewer.shoot("viewer-sc")
    (shown, *_) = (one for one in write_all(analysis) if one.kind == ResultKind.SC)
    burned = pydicom.dcmread(io.BytesIO(shown.content))
    drawn = viewer.look().rgb
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3) if colour.max() - colour.min() > 80}
    assert len(colours) > 10, "outlines and legend are coloured"
    assert burned.Rows / burned.Columns == pytest.approx(shape_of(drawn), rel=0.05)


def shape_of(drawn: NDArray[np.int16]) -> float:
    """Return height by width of what is not black."""
    rows, columns = np.nonzero(drawn.max(axis=-1) > 0)
    return float((rows.max() - rows.min()) / (columns.max() - columns.min()))


def test_the_report_reaches_the_browser_as_it_was_written(
    viewer: Viewer, pages: Pages, archive: OrthancServer
) -> None:
    analysis = made(Stack(), 717)
    deliver(analysis, pages, archive, ResultKind.PDF)
    (written,) = (one for one in write_all(analysis) if one.kind == ResultKind.PDF)
    study, series = header(analysis).StudyInstanceUID, written.series_instance_uid
    viewer.page.goto(
        f"{pages.url}/viewer/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}"
    )
    shown = viewer.page.locator("object")
    shown.wait_for(state="attached", timeout=LOAD_SECONDS * 1000)
    content = viewer.page.evaluate(
        "async url => [...new Uint8Array(await (await fetch(url)).arrayBuffer())]",
        shown.get_attribute("data"),
    )
    document = pydicom.dcmread(io.BytesIO(written.content)).EncapsulatedDocument
    assert bytes(content).rstrip(b"\0") == document.rstrip(b"\0")


def test_what_the_model_found_is_opened_from_the_case_that_delivered_it(
    viewer: Viewer, tmp_path: Path
) -> None:
    options = SiteOptions(more=f'[web]\nviewer = "{VIEWER}"\n')
    with running_site(tmp_path / "site", options) as site, site.worker():
        study_id = site.send(hippocampus_study(718))
        case = site.await_case(study_id, CaseState.DELIVERED)
        with serving(Appliance.open(site.settings)) as url:
            sign_in(viewer.page.context, url)
            viewer.open(f"{url}/open/{case.case_id}")
            viewer.shoot("viewer-hippocampus")
            look = viewer.look()
        files = ours_in(site.pacs, study_id).values()
    datasets = [pydicom.dcmread(io.BytesIO(one)) for one in files]
    (seg,) = (ds for ds in datasets if ds.Modality == "SEG")
    mask, geometry = read_by_hand(seg)
    found = overlaps(look, look.expected(mask, geometry))
    assert set(found) == {1, 2}, "anterior and posterior"
    assert min(found.values()) >= OVERLAP


def read_by_hand(seg: pydicom.Dataset) -> tuple[NDArray[np.uint8], Geometry]:
    """Return what a binary segmentation of axial slices, 1 mm apart, holds where."""
    frames = [
        (
            float(one.PlanePositionSequence[0].ImagePositionPatient[2]),
            int(one.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
            pixels,
        )
        for one, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True)
    ]
    lowest, highest = (extreme(z for z, _, _ in frames) for extreme in (min, max))
    mask = np.zeros((round(highest - lowest) + 1, seg.Rows, seg.Columns), np.uint8)
    for z, number, pixels in frames:
        mask[round(z - lowest)][pixels > 0] = number
    x, y, _ = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    affine = np.array([[0, 0, 1, x], [0, 1, 0, y], [1, 0, 0, lowest], [0, 0, 0, 1]], float)
    return mask, Geometry(affine=affine, shape=mask.shape)
