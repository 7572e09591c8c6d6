"""Write a one-page report as an Encapsulated PDF (PS3.3 A.45.1), PDF/A, made in memory."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import typst
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.drawing import picture
from clic_edge.results.outlines import pictured
from clic_edge.results.source import read_source
from clic_edge.results.wording import alarm_line, finding_lines, operating_point, say

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

PICTURES = 6
"""More than two rows would not fit on the page."""


class PdfWriter:
    """Writes findings, key images and the model's intended use on a page that anything can show."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the report, also where nothing was found: that is a result too.

        Raises
        ------
        Defect
            As `read_source` raises; ``pdf-impossible``.

        """
        del earlier
        source = read_source(analysis)
        with translated("pdf-impossible", "No report can be made of images and findings."):
            content = _pdf(analysis, source)
            ds = Dataset()
            provenance.stamp(ds, analysis, source, kind=ResultKind.PDF)
            ds.SOPClassUID = EncapsulatedPDFStorage
            ds.Modality, ds.ConversionType = "DOC", "WSD"
            ds.BurnedInAnnotation, ds.Laterality = "YES", ""
            ds.AcquisitionDateTime = ""
            ds.DocumentTitle = f"AI: {analysis.model.title}"[:64]
            ds.ConceptNameCodeSequence = [_title()]
            ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
            ds.EncapsulatedDocumentLength = len(content)
            ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
            return (provenance.result_object(ds, ResultKind.PDF),)


def _title() -> Dataset:
    item, code = Dataset(), codes.DCM.ImagingMeasurementReport
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _pdf(analysis: Analysis, source: Source) -> bytes:
    """Return the page; the same analysis gives the same bytes."""
    template = (files("clic_edge.results") / "report.typ").read_bytes()
    try:
        pdf: bytes = typst.compile(
            template,
            format="pdf",
            font_paths=_fonts(),
            sys_inputs={"told": json.dumps(_told(analysis, source))},
            pdf_standards=["a-2b"],
            timestamp=int(analysis.started_at.timestamp()),
        )
    except RuntimeError as error:  # what typst raises quotes the page
        raise Defect("pdf-impossible", "The page of the report can't be set.") from error
    return pdf


def _told(analysis: Analysis, source: Source) -> dict[str, object]:
    """Return all that stands on the page."""
    model, language = analysis.model, analysis.language
    identity, prediction = source.identity, analysis.prediction
    patient = f"{str(identity.PatientName).replace('^', ' ').strip()}, {identity.PatientID}"
    lines = finding_lines(prediction, language)
    point = operating_point(model, language)
    notes = [
        f"{model.title} {model.version} ({model.manufacturer})",
        f"{say('operating point', language)}: {point}" if point else "",
        f"{say('intended use', language)}: {model.intended_use}" if model.intended_use else "",
    ]
    return {
        "title": f"AI: {model.title}",
        "model": model.title,
        "language": language,
        "warning": say("not verified", language),
        "alarm": alarm_line(analysis.alarm_since, language),
        "identity": [
            [say("patient", language), patient],
            [say("study", language), f"{identity.StudyDate} {identity.AccessionNumber}".strip()],
            [say("series", language), str(source.header.get("SeriesNumber") or "")],
        ],
        "findings": [[one.name, one.value, one.unit] for one in lines]
        or [[say("nothing found", language), "", ""]],
        "pictures": [_svg(analysis, k) for k in pictured(prediction)[:PICTURES]],
        "assess": say("assess", language),
        "link": analysis.link,
        "notes": [note for note in notes if note],
    }


def _svg(analysis: Analysis, k: int) -> str:
    """Return the picture of a slice as typst takes it: a PNG within an SVG."""
    image, buffer = picture(analysis, k), io.BytesIO()
    image.save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size}>'
        f'<image {size} xlink:href="data:image/png;base64,{png}"/></svg>'
    )


@cache
def _fonts() -> typst.Fonts:
    """Return DejaVu Sans, which has the letters of every European language, and typst's own."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return typst.Fonts(include_system_fonts=False, font_paths=[folder])
