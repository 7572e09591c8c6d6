"""An acceptance report on paper: PDF/A with the signed JSON attached, and a picture of each case."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from clic_edge.drawing.look import Language
from clic_edge.reporting.document import Document, Picture, Section, Table, Words
from clic_edge.reporting.pdf import pdf
from clic_edge.results.colours import colour_of
from clic_edge.results.readback import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from clic_edge.constancy.acceptance import Accepted
    from clic_edge.constancy.phantoms import Stack
    from clic_edge.domain.constancy import Compared, Outcome
    from clic_edge.reporting.document import Block

ATTACHED = "acceptance.json"
_Pixel = TypeVar("_Pixel", bound=np.generic)
_WIDTH = 480
"""Pixels of a picture, about."""
_PERCENTILES = (1, 99)


def acceptance_pdf(accepted: Accepted, made: Mapping[str, Stack]) -> bytes:
    """Return the report as PDF/A-3a; the same report gives the same bytes.

    Raises Defect ``report-impossible``.
    """
    report = accepted.report
    document = Document(
        title=f"Acceptance of {report.model_id} {report.version}",
        subtitle=f"{report.pipeline}, {report.at:%Y-%m-%d %H:%M} UTC, by {report.person}",
        footer=f"clic-edge; signed with the site's key; model {report.digest[:16]}",
        language=Language.ENGLISH,
        sections=tuple(_sections(accepted, made)),
    )
    return pdf(document, attached=report.model_dump_json(indent=1), name=ATTACHED, at=report.at)


def _sections(accepted: Accepted, made: Mapping[str, Stack]) -> Iterator[Section]:
    report, run = accepted.report, accepted.ran.run
    met = sum(one.met for one in report.criteria)
    verdict = "Accepted" if report.is_met else "Not accepted"
    sealed = (
        f" What it showed is sealed as the commissioning record {report.record[:16]}."
        if report.record
        else ""
    )
    yield Section(
        heading=verdict,
        blocks=(
            Words(
                text=f"{met} of {len(report.criteria)} criteria are met.{sealed}",
                is_notice=not report.is_met,
            ),
            Words(text=_before(accepted)),
            Table(
                caption="What was asked for",
                columns=("criterion", "found", "", "limit", ""),
                rows=tuple(
                    (
                        one.name,
                        "-" if one.found is None else f"{one.found:.4g}",
                        one.sense,
                        f"{one.limit:.4g}",
                        "met" if one.met else "not met",
                    )
                    for one in report.criteria
                ),
            ),
        ),
    )
    yield Section(
        heading=f"Cases of {report.protocol}",
        blocks=(*_pictures(accepted, made), _compared(accepted.ran.results)),
    )
    yield Section(
        heading="Versions",
        blocks=(
            Table(
                caption=f"Model {report.digest}; run {run.run_id}",
                columns=("part", "version"),
                rows=tuple((one.name, one.version) for one in report.environment),
                numbers_from=2,
            ),
        ),
    )


def _before(accepted: Accepted) -> str:
    if accepted.before is None:
        return "The model had not been commissioned with this protocol before."
    since = "; ".join(accepted.since) or "nothing of the machine has changed"
    at, person = accepted.before.at, accepted.before.person
    return f"Since the commissioning of {at:%Y-%m-%d} by {person}: {since}."


def _compared(results: tuple[Compared, ...]) -> Table:
    return Table(
        caption="What was compared",
        columns=("case", "quantity", "found", "expected", ""),
        rows=tuple(
            (
                one.case,
                one.quantity,
                one.said if one.value is None else f"{one.value:.5g} {one.unit}",
                "" if one.expected is None else f"{one.expected:.5g}",
                "passed" if one.passed else "failed",
            )
            for one in results
        ),
        numbers_from=2,
    )


def _pictures(accepted: Accepted, made: Mapping[str, Stack]) -> Iterator[Block]:
    for name, outcome in accepted.ran.outcomes.items():
        told = f"{name}: {outcome.state}" + (f", {outcome.code}" if outcome.code else "")
        yield Picture(svg=_svg(overlay(made[name], outcome), told), message=told)


def overlay(stack: Stack, outcome: Outcome) -> NDArray[np.uint8]:
    """Return the slice with the most of what was found, its outlines drawn; the middle one of nothing.

    Shape (rows, columns, 3).
    """
    found = [unpacked(one) for one in outcome.outlines]
    places = [_place(stack, k) for k in range(len(stack.voxels))]
    area = [sum(int(one[at].sum()) for one in found if at in one) for at in places]
    k = int(np.argmax(area)) if any(area) else len(stack.voxels) // 2
    low, high = np.percentile(stack.voxels[k], _PERCENTILES)
    grey = np.clip((stack.voxels[k] - low) / max(high - low, 1e-9), 0, 1) * 255
    larger = max(1, round(_WIDTH / grey.shape[1]))
    picture = np.repeat(_enlarged(grey, larger)[..., None], 3, axis=2).astype(np.uint8)
    for number, one in enumerate(found, start=1):
        if places[k] in one:
            mask = _enlarged(one[places[k]], larger)
            if mask.shape == picture.shape[:2]:
                picture[mask & ~_eroded(mask)] = colour_of(number)
    return picture


def _place(stack: Stack, k: int) -> str:
    corner = (stack.affine @ np.array([k, 0, 0, 1]))[:3]
    return ",".join(f"{round(float(one) * 1000)}" for one in corner)


def _enlarged(pixels: NDArray[_Pixel], by: int) -> NDArray[_Pixel]:
    return pixels.repeat(by, axis=0).repeat(by, axis=1)


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner = np.pad(mask, 2)
    moved = [np.roll(inner, step, axis=axis) for axis in (0, 1) for step in (-2, 2)]
    within: NDArray[np.bool_] = np.logical_and.reduce(moved)[2:-2, 2:-2]
    return within


def _svg(picture: NDArray[np.uint8], title: str) -> str:
    """Return a picture as the page takes it: a PNG within an SVG, its words below."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    rows, columns = picture.shape[:2]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{columns}" height="{rows + 40}">'
        f'<image width="{columns}" height="{rows}" xlink:href="data:image/png;base64,{png}"/>'
        f'<text x="4" y="{rows + 26}" font-family="DejaVu Sans" font-size="20">{title}</text></svg>'
    )
