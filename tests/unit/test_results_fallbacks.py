"""Pictures, presentation states, key images, maps and pages for who can't show a segmentation."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import CANARY, Stack, make_datasets, make_series, ramp, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from written import with_everything

from clic_edge.errors import Defect
from clic_edge.results.capture import MOST, CaptureWriter, shown_slices
from clic_edge.results.check import check
from clic_edge.results.colours import colour_of
from clic_edge.results.drawing import outlined
from clic_edge.results.key_objects import KeyObjectWriter
from clic_edge.results.outlines import key_slices, outlines
from clic_edge.results.parametric import ParametricMapWriter
from clic_edge.results.presentation import PresentationWriter
from clic_edge.results.report_pdf import PdfWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis, Writer

WRITERS: tuple[Writer, ...] = (
    CaptureWriter(),
    PresentationWriter(),
    KeyObjectWriter(),
    ParametricMapWriter(),
    PdfWriter(),
)


def opened(result: ResultObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(result.content))


def spoiled(result: ResultObject, change: Callable[[Dataset], None]) -> ResultObject:
    ds, buffer = opened(result), io.BytesIO()
    change(ds)
    ds.save_as(buffer)
    return replace(result, content=buffer.getvalue())


@settings(deadline=None, max_examples=60)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_encloses_exactly_its_mask(mask: NDArray[np.bool_]) -> None:
    scale = 4
    image = Image.new("L", (mask.shape[1] * scale, mask.shape[0] * scale))
    area = 0.0
    for loop in outlines(mask):
        assert np.array_equal(loop[0], loop[-1])
        x, y = loop[:-1].T
        area += float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
        inside = Image.new("L", image.size)
        points = [(float(a) - 0.5, float(b) - 0.5) for a, b in loop * scale]
        ImageDraw.Draw(inside).polygon(points, fill=1)
        image = Image.fromarray(np.asarray(image) ^ np.asarray(inside))
    assert area == mask.sum()
    centres = np.asarray(image)[scale // 2 :: scale, scale // 2 :: scale].astype(bool)
    assert np.array_equal(centres, mask)


def test_where_nothing_was_found_only_the_page_says_so() -> None:
    empty = analysis_of(mask=np.zeros((8, 10, 12), np.uint8))
    made = [writer.write(empty, ()) for writer in WRITERS]
    assert [len(one) for one in made] == [0, 0, 0, 0, 1]
    check(made[-1], empty)


def test_every_slice_with_a_finding_has_a_picture_and_no_other() -> None:
    analysis = analysis_of()
    pictures = CaptureWriter().write(analysis, ())
    found = np.flatnonzero(analysis.prediction.label_map.any(axis=(1, 2)))
    assert len(pictures) == len(found)
    referred = [opened(one).SourceImageSequence[0].ReferencedSOPInstanceUID for one in pictures]
    assert len(set(referred)) == len(found)
    check(pictures, analysis)


def test_of_many_slices_the_key_slices_and_an_even_choice_are_shown() -> None:
    mask = np.zeros((200, 10, 12), np.uint8)
    mask[10:190, 4, 4] = 1
    mask[77, 3:6, 3:6] = 1
    series = make_series(Stack(), np.zeros(mask.shape, np.int16))
    shown = shown_slices(analysis_of(series, mask=mask).prediction)
    assert 77 in shown
    assert (shown[0], shown[-1]) == (10, 189)
    assert len(shown) <= MOST
    assert max(np.diff(shown)) < 5


def test_outlines_lie_where_the_mask_ends_and_inside_the_image_stays_as_it_is() -> None:
    analysis = analysis_of()
    labels = analysis.prediction.label_map[0]
    pixels = np.asarray(outlined(analysis, 0)).astype(int)
    scale = pixels.shape[0] // labels.shape[0]
    (loop,) = outlines(labels == 1)
    column, row = (loop[:2].mean(axis=0) * scale).astype(int)
    near = pixels[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3)
    assert (near == colour_of(1)).all(axis=1).any()
    row, column = np.argwhere(labels == 0)[-1] * scale + scale // 2
    assert len(set(pixels[row, column])) == 1  # grey


def test_a_pixel_that_is_not_square_is_shown_as_long_as_it_is() -> None:
    datasets = make_datasets(Stack(), ramp())
    for ds in datasets:
        ds.PixelSpacing = [2, 1]
    image = outlined(analysis_of(series_of(datasets)), 0)
    rows, columns = datasets[0].Rows, datasets[0].Columns
    assert image.height / image.width == pytest.approx(2 * rows / columns, abs=0.01)


def test_a_presentation_state_has_a_layer_in_the_colour_of_each_segment() -> None:
    analysis = analysis_of()
    (state,) = PresentationWriter().write(analysis, ())
    check((state,), analysis)
    ds = opened(state)
    found = [one for one in analysis.prediction.segments if one.voxel_count]
    assert [one.GraphicLayerDescription for one in ds.GraphicLayerSequence] == [
        one.definition.label for one in found
    ]
    texts = {
        item.UnformattedTextValue
        for one in ds.GraphicAnnotationSequence
        for item in one.get("TextObjectSequence", [])
    }
    assert "Liver: 84 mm³ (AI result, not verified)" in texts


def test_key_images_show_each_segment_where_it_is_largest() -> None:
    analysis = analysis_of()
    assert key_slices(analysis.prediction) == tuple(
        sorted(
            {
                int((analysis.prediction.label_map == number).sum(axis=(1, 2)).argmax())
                for number in (1, 2, 3)
            }
        )
    )
    check(KeyObjectWriter().write(analysis, ()), analysis)


def test_a_map_is_read_back_bit_for_bit() -> None:
    analysis = with_everything(analysis_of())
    maps = ParametricMapWriter().write(analysis, ())
    assert maps
    check(maps, analysis)
    own = [one for one in analysis.prediction.maps if one.segment is None]
    frames = {frame.tobytes() for frame in opened(maps[0]).pixel_array}
    assert frames == {plane.tobytes() for plane in own[0].values}


SPOILED = {
    "a shifted outline": (
        PresentationWriter,
        lambda ds: ds.GraphicAnnotationSequence[0].GraphicObjectSequence.pop(),
    ),
    "an outline on another image": (
        PresentationWriter,
        lambda ds: setattr(
            ds.GraphicAnnotationSequence[0].ReferencedImageSequence[0],
            "ReferencedSOPInstanceUID",
            "1.2.3",
        ),
    ),
    "a number of a map": (
        ParametricMapWriter,
        lambda ds: setattr(ds, "FloatPixelData", b"\0\0\x80?" + ds.FloatPixelData[4:]),
    ),
    "a map on another plane": (
        ParametricMapWriter,
        lambda ds: setattr(
            ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0],
            "ImagePositionPatient",
            [0, 0, 0.5],
        ),
    ),
    "a page that is cut short": (
        PdfWriter,
        lambda ds: setattr(ds, "EncapsulatedDocumentLength", 100),
    ),
    "a key image less": (
        KeyObjectWriter,
        lambda ds: ds.ContentSequence.pop(),
    ),
    "a picture of another image": (
        CaptureWriter,
        lambda ds: setattr(ds.SourceImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_not_what_it_was_made_from_does_not_leave(name: str) -> None:
    writer, change = SPOILED[name]
    analysis = with_everything(analysis_of())
    first, *others = writer().write(analysis, ())
    with pytest.raises(Defect) as caught:
        check((spoiled(first, change), *others), analysis)
    assert caught.value.code == "fallback-differs"


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: type(one).__name__)
def test_the_same_analysis_gives_the_same_bytes_and_another_patient_does_not_pass(
    writer: Writer,
) -> None:
    analysis = with_everything(analysis_of())
    made = writer.write(analysis, ())
    assert writer.write(analysis, ()) == made
    other = with_everything(analysis_of(make_series(Stack(patient=CANARY))))
    with pytest.raises(Defect) as caught:
        check(made, other)
    assert caught.value.code == "wrong-patient"


def test_the_page_names_patient_and_findings_in_danish_letters_too(tmp_path: Path) -> None:
    analysis: Analysis = replace(analysis_of(), language="da")
    (page,) = PdfWriter().write(analysis, ())
    ds = opened(page)
    path = tmp_path / "page.pdf"
    path.write_bytes(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])
    assert b"pdfaid:part" in path.read_bytes()  # PDF/A says so
    told = subprocess.run(
        ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=txtwrite", "-sOutputFile=-", path],
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert "AI-resultat, ikke verificeret" in told
    assert "Testesen Åse Ærlig" in told
    assert "84" in told
