"""A model package run over a folder of labelled volumes, through the product's own runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError, Refusal
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package
from clic_edge.inference.site import HERE
from clic_edge.validation.folder import case_names, read_case
from clic_edge.validation.groups import SUBJECTS, read_groups
from clic_edge.validation.metrics import compare
from clic_edge.validation.report import CaseAgreement, RefusedCase, Report
from clic_edge.validation.selection import TRAIN, select

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.domain.prediction import SegmentDefinition
    from clic_edge.inference.runtime import Runtime
    from clic_edge.inference.site import Site
    from clic_edge.validation.folder import LabelledVolume

    Progress = Callable[[int, int], None]
    """Called with cases done and cases in all."""


def validate(
    package_folder: Path,
    data_folder: Path,
    *,
    split: Path | None = None,
    subjects: Path | None = None,
    progress: Progress = lambda _done, _total: None,
    site: Site = HERE,
) -> Report:
    """Return how the package in `package_folder` does on the cases of `data_folder`.

    All cases are taken, except those that the model learned from: where the package holds a
    ``split.json``, the cases that it lists under ``train`` are left out. With `split`, exactly
    the cases that this file lists under ``validation`` are taken. A case outside what the
    package declares is listed as refused. `subjects`, by default ``subjects.csv`` beside the
    images where there is one, says which subgroups the cases belong to. `site` says what the package
    may use.

    Raises
    ------
    ConfigError
        The folder, the split or a case is not as it should be; the sentence names the file.
    Defect
        The package changed, or the network failed.

    """
    declared = load_package(package_folder).declaration
    runtime = load_runtime(package_folder, site)
    names = case_names(data_folder)
    selection = select(names, package=package_folder, data=data_folder, split=split, seen=(TRAIN,))
    scored: list[CaseAgreement] = []
    refused: list[RefusedCase] = []
    for done, name in enumerate(selection.names):
        progress(done, len(selection.names))
        case = read_case(data_folder, name, modality=declared.input.modality)
        try:
            scored.append(_score(runtime, case, declared.segments))
        except Refusal as error:
            refused.append(RefusedCase(name=name, code=error.code, reason=error.sentence))
    progress(len(selection.names), len(selection.names))
    return Report(
        groups=_groups(subjects, data_folder, scored),
        model=runtime.model,
        selection=selection.sentence,
        device=runtime.device,
        class_names=tuple(segment.name for segment in declared.segments),
        cases=tuple(scored),
        refused=tuple(refused),
    )


def _groups(
    subjects: Path | None, data: Path, scored: list[CaseAgreement]
) -> dict[str, dict[str, tuple[str, ...]]]:
    table = subjects or data / SUBJECTS
    if subjects is None and not table.exists():
        return {}
    return read_groups(table, [one.name for one in scored])


def _score(
    runtime: Runtime, case: LabelledVolume, segments: tuple[SegmentDefinition, ...]
) -> CaseAgreement:
    if case.reference.max() > len(segments):
        raise ConfigError(
            "validation-label", f"The label of {case.name} goes beyond {len(segments)}."
        )
    found = runtime.predict(case.volume).label_map
    return CaseAgreement(
        name=case.name,
        classes=tuple(
            compare(found == segment.number, case.reference == segment.number, case.volume.geometry)
            for segment in segments
        ),
    )
