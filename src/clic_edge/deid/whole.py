"""A series from sources to output: each file cleaned, the face judged in all of them, then written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.deid.deidentify import without_face
from clic_edge.deid.file import Cleaned, Held, Written, duplicate, holds
from clic_edge.deid.output import Output
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from clic_edge.deid.file import Bench, Source
    from clic_edge.deid.residue import ResidueCheck

_Verdicts = dict[str, Output | Refusal | Defect]
"""By the digest of a source: what is written of it, or why nothing is."""


def clean_together(
    bench: Bench, sources: Sequence[Source], residue: ResidueCheck
) -> list[Written | Held]:
    """Return what became of the sources of one series and one patient, in order.

    A file that can't be cleaned, or not be decoded, is held alone: the others are judged, and
    written, as a series without it. The face of a head holds every file that is left.

    Raises Transient ``out-unwritable``.
    """
    results = [bench.cleaned(source, residue) for source in sources]
    firsts: dict[PurePosixPath, Cleaned] = {}
    for one in results:
        if isinstance(one, Cleaned):
            firsts.setdefault(one.name, one)
    verdicts = _judged(bench, list({one.digest_in: one for one in firsts.values()}.values()))
    return [
        one
        if isinstance(one, Held)
        else _finished(bench, one, first=firsts[one.name], verdicts=verdicts)
        for one in results
    ]


def _finished(bench: Bench, one: Cleaned, *, first: Cleaned, verdicts: _Verdicts) -> Written | Held:
    """Write one file as the first of its name was judged; a copy of that one is no other."""
    if one is not first and one.output != first.output:
        return one.held(duplicate())
    verdict = verdicts[first.digest_in]
    return bench.written(one, verdict) if isinstance(verdict, Output) else one.held(verdict)


def _judged(bench: Bench, files: Sequence[Cleaned]) -> _Verdicts:
    """Return what may be written of each file."""
    if bench.profile.faces == "ignore":
        return {one.digest_in: one.output for one in files}
    verdicts = _judged_together(bench, files)
    if len(files) == 1 or not any(isinstance(one, Defect) for one in verdicts.values()):
        return verdicts
    # One that can't be decoded is no part of any volume: it goes, the others are judged anew.
    broken: _Verdicts = {}
    for one in files:
        broken |= {
            digest: verdict
            for digest, verdict in _judged_together(bench, [one]).items()
            if isinstance(verdict, Defect)
        }
    return broken | _judged_together(bench, [one for one in files if one.digest_in not in broken])


def _judged_together(bench: Bench, files: Sequence[Cleaned]) -> _Verdicts:
    if not files:
        return {}
    first = files[0]
    series = Series(
        study_instance_uid="",
        series_instance_uid="",
        patient_id=first.subject.patient_id,
        issuer_of_patient_id=first.subject.issuer_of_patient_id,
        instances=tuple(Instance(content=one.content) for one in files),
    )
    clean = CleanSeries(
        subject_id=first.pseudonym.subject_id,
        series_uid=first.series_uid,
        instances=tuple(CleanInstance(content=one.output.joined()) for one in files),
    )
    try:
        left = without_face(series, clean, bench.profile)
        if left is clean:
            return {one.digest_in: one.output for one in files}
        pairs = [(a, Output.of(b.content)) for a, b in zip(files, left.instances, strict=True)]
        _check_written_before(bench, pairs)
    except (Refusal, Defect) as error:
        return {one.digest_in: error for one in files}
    return {one.digest_in: output for one, output in pairs}


def _check_written_before(bench: Bench, pairs: Sequence[tuple[Cleaned, Output]]) -> None:
    """Return when what lies in the output folder of a series is of the same cut.

    Raises
    ------
    Refusal
        ``series-changed``: slices were written when the series was another one, so that old and
        new together might show what neither does.

    """
    for one, output in pairs:
        target = bench.out / one.name
        if target.is_file() and not holds(target, output):
            raise Refusal(
                "series-changed",
                "Slices of this series were written when others were there: remove its folder from"
                " the output, and it is cut anew as a whole.",
            )
