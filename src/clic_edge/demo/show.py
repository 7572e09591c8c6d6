"""The demo: send a study from a hospital's PACS, watch it go through, look at what came back."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from clic_edge.app import Appliance
from clic_edge.cli.console import STYLES, note, stdout, table
from clic_edge.demo.hospital import Answer, Hospital
from clic_edge.demo.overlay import draw_overlays
from clic_edge.demo.pages import keep_up, say_address, say_pictures
from clic_edge.demo.report import Report
from clic_edge.demo.screens import shoot
from clic_edge.demo.site import VIEWER, running_pages, running_site
from clic_edge.demo.study import make_demo_study
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError, Defect, Refusal
from clic_edge.pacs.headers import read_identity
from clic_edge.pipeline.intake import NO_PIPELINE

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.demo.hospital import ShownCase
    from clic_edge.demo.site import Site
    from clic_edge.domain.case import Case

_PATIENCE_SECONDS = 100
_STAGES = ("accept", "predict", "write", "deliver", "finish")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paths:
    """Where the demo puts what, below its folder."""

    out: Path

    @property
    def study(self) -> Path:
        return self.out / "study"

    @property
    def site(self) -> Path:
        return self.out / "site"

    @property
    def results(self) -> Path:
        return self.out / "results"

    @property
    def overlay(self) -> Path:
        return self.out / "overlay.png"

    @property
    def report(self) -> Path:
        return self.out / "report.json"


def run_demo(study: Path | None, out: Path, *, stay: bool = False) -> None:
    """Run the demo on a study of the user's own, or on one that is made.

    With `stay`, the site runs on until Ctrl-C, and its pages with it.

    Raises
    ------
    ConfigError
        The folder holds no DICOM, or Orthanc is not on this machine.
    Refusal
        No pipeline takes the study; what the reader is told has been shown.
    Defect
        The study did not come through.

    """
    paths = _Paths(out=out.resolve())
    shutil.rmtree(paths.out, ignore_errors=True)
    files = _files(study, paths)
    note("Starting a hospital PACS, the appliance's Orthanc and the worker.")
    with running_site(paths.site) as site:
        hospital = Hospital(site)
        study_id = hospital.take(files)
        note(f"The PACS sends {len(files)} images to the appliance by C-STORE.")
        hospital.send(study_id)
        answer = _watch(hospital, study_id)
        results = hospital.fetch_results(study_id, paths.results)
        ledger = Appliance.open(site.settings).ledger
        cases = tuple(ledger.cases.case(shown.case.case_id) for shown in answer.current)
        report = Report(
            cases=cases,
            stages=tuple(shown.seconds for shown in answer.current),
            measured=draw_overlays(files, results, paths.overlay) if results else (),
            objects=tuple(str(path) for path in results),
        )
        paths.report.write_text(report.to_json())
        _tell(report, answer)
        for path in (paths.overlay, paths.results, paths.report) if results else (paths.report,):
            stdout.print(f"see {path}", soft_wrap=True)
        _open(site, cases, paths.out, stay=stay)
    _end(answer)


def _open(site: Site, cases: tuple[Case, ...], out: Path, *, stay: bool) -> None:
    """Show the cases on the appliance's pages, and keep those up when asked to."""
    with running_pages(site) as visitor:
        wanted = {"overview": "/", "case": f"/cases/{cases[0].case_id}"} if cases else {}
        say_pictures(shoot(visitor, wanted, out))
        say_address(visitor)
        for case in cases if (VIEWER / "index.html").is_file() else ():
            stdout.print(f"open {visitor.url}/open/{case.case_id}", soft_wrap=True)
        if not (VIEWER / "index.html").is_file():
            note("`make viewer` fetches a viewer, in which the pages open the images.")
        keep_up(stay=stay)


def _files(study: Path | None, paths: _Paths) -> tuple[Path, ...]:
    if study is None:
        note("Making a study from the ICBM 152 brain: two hippocampus series and a localizer.")
        return make_demo_study(paths.study)
    found = tuple(path for path in sorted(study.rglob("*")) if path.is_file())
    files = tuple(path for path in found if read_identity(path))
    if not files:
        raise ConfigError("no-dicom", f"There is no readable DICOM file in {study}.")
    if len(files) < len(found):
        note(f"Files left out, because they are no DICOM instances: {len(found) - len(files)}.")
    return files


def _watch(hospital: Hospital, study_id: str) -> Answer:
    """Show the stages as they pass until every case has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with Live(console=stdout, auto_refresh=False) as live:
        while True:
            answer = hospital.ask(study_id)
            live.update(_progress(answer), refresh=True)
            if answer.ended:
                return answer
            if time.monotonic() > deadline:
                raise Defect(
                    "demo-too-slow", f"The study is not through after {_PATIENCE_SECONDS} s."
                )
            time.sleep(0.25)


def _progress(answer: Answer) -> Table:
    drawn = Table(box=None, pad_edge=False)
    for column in ("pipeline", "state", *_STAGES):
        drawn.add_column(column)
    for shown in answer.current:
        drawn.add_row(shown.case.pipeline, _state(shown), *_marks(shown))
    return drawn


def _state(shown: ShownCase) -> Text:
    return Text(shown.case.state, STYLES[shown.case.state])


def _marks(shown: ShownCase) -> list[str]:
    return [f"{shown.seconds[stage]:.2f} s" if stage in shown.seconds else "…" for stage in _STAGES]


def _tell(report: Report, answer: Answer) -> None:
    # A pipeline that found nothing for it here has a reason for each series, which helps no one.
    asked = {series.pipeline for series in answer.series}
    concerned = {shown.case.pipeline for shown in answer.current} or asked
    stdout.print()
    table(
        "series that came in",
        ("series", "images", "", "why not"),
        (
            (
                "-" if series.series_number is None else str(series.series_number),
                str(series.number_of_instances),
                Text("taken", "green") if series.taken else Text("not taken", "yellow"),
                series.reason,
            )
            for series in answer.series
            if not series.is_ours and series.pipeline in concerned
        ),
    )
    if report.measured:
        table(
            "measured",
            ("series", "segment", "mm³"),
            (
                (one.title, label, "-" if volume is None else f"{volume:.0f}")
                for one in report.measured
                for label, volume in one.volumes
            ),
        )
    for shown in answer.current:
        facts: list[tuple[str, str | Text]] = [("state", _state(shown))]
        facts += [("why", shown.case.reason)] if shown.case.reason else []
        facts += [
            (name, f"{shown.seconds[name]:.2f} s") for name in _STAGES if name in shown.seconds
        ]
        facts += [("objects in the PACS", str(len(report.objects)))]
        facts += [("case", shown.case.case_id)]
        taken = shown.case.pipeline != NO_PIPELINE
        title = f"case on pipeline {shown.case.pipeline}" if taken else "case on no pipeline"
        table(title, ("", ""), facts)


def _end(answer: Answer) -> None:
    for shown in answer.current:
        if shown.case.state == CaseState.REFUSED:
            raise Refusal(shown.case.code, shown.case.reason)
        if shown.case.state != CaseState.DELIVERED:
            raise Defect(shown.case.code, shown.case.reason)
