"""The page on result objects, compared with what is written."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_series
from slide_cases import slide_analysis
from source import ROOT
from written import with_everything, write_all, write_told

from clic_edge.domain.result import ResultKind
from clic_edge.results.provenance import ASSESSMENTS_NUMBER, SERIES_OFFSET

PAGE = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z-]+)` \| `([0-9.]+)` \| (\d+) \|", re.MULTILINE)


@pytest.mark.slow
def test_the_page_has_each_kind_with_its_class_and_series() -> None:
    analysis = with_everything(analysis_of(make_series(replace(Stack(), series_number=3))))
    results = write_all(analysis)
    written = {}
    for one in (*results, *write_told(analysis, results)):
        ds = pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True)
        assert ds.SeriesNumber // 100 == 3
        written[one.kind] = (str(ds.SOPClassUID), int(ds.SeriesNumber) % 100)
    for one in write_all(slide_analysis(ROOT)):
        ds = pydicom.dcmread(io.BytesIO(one.content), stop_before_pixels=True)
        kind = (str(ds.SOPClassUID), int(ds.SeriesNumber) % 100)
        assert written.setdefault(one.kind, kind) == kind
    told = {ResultKind(kind): (uid, int(number)) for kind, uid, number in ROW.findall(PAGE)}
    assert told == written
    assert set(told) == set(SERIES_OFFSET)
    assert f"stands in series {ASSESSMENTS_NUMBER}." in PAGE
