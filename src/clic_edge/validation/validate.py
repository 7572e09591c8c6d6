"""A model package run over a folder of labelled volumes, through the product's own runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError, Refusal
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package
from clic_edge.validation.folder import case_names, read_case
from clic_edge.validation.groups import SUBJECTS, read_groups
from clic_edge.validation.metrics import compare
from clic_edge.validation.report import CaseAgreement, RefusedCase, Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.domain.prediction import SegmentDefinition
    from clic_edge.inference.runtime import Runtime
    from clic_edge.validation.folder import LabelledVolume

    Progress = Callable[[int, int], None]
    """Called with cases done and cases in all."""

SPLIT = "split.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    names: tuple[str, ...]
    sentence: str


def validate(
    package_folder: Path,
    data_folder: Path,
    *,
    split: Path | None = None,
    subjects: Path | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Return how the package in `package_folder` does on the cases of `data_folder`.

    All cases are taken, except those that the model learned from: where the package holds a
    ``split.json``, the cases that it lists under ``train`` are left out. With `split`, exactly
    the cases that this file lists under ``validation`` are taken. A case outside what the
    package declares is listed as refused. `subjects`, by default ``subjects.csv`` beside the
    images where there is one, says which subgroups the cases belong to.

    Raises
    ------
    ConfigError
        The folder, the split or a case is not as it should be; the sentence names the file.
    Defect
        The package changed, or the network failed.

    """
    declared = load_package(package_folder).declaration
    runtime = load_runtime(package_folder)
    selection = _select(package_folder, data_folder, split)
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
    table = subjects or data_folder / SUBJECTS
    known = subjects is not None or table.exists()
    return Report(
        groups=read_groups(table, [one.name for one in scored]) if known else {},
        model=runtime.model,
        selection=selection.sentence,
        device=runtime.device,
        class_names=tuple(segment.name for segment in declared.segments),
        cases=tuple(scored),
        refused=tuple(refused),
    )


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


def _select(package_folder: Path, data_folder: Path, split: Path | None) -> _Selection:
    names = case_names(data_folder)
    if split is not None:
        chosen = _listed(split, "validation")
        for name in chosen:
            if name not in names:
                raise ConfigError("validation-case", f"{data_folder} holds no {name}.")
        return _Selection(names=chosen, sentence=f"The {len(chosen)} cases that the split names.")
    shipped = package_folder / SPLIT
    trained = set(_listed(shipped, "train")) if shipped.exists() else set()
    chosen = tuple(name for name in names if name not in trained)
    if not chosen:
        raise ConfigError(
            "validation-empty", f"The model learned from every case in {data_folder}."
        )
    left_out = len(names) - len(chosen)
    return _Selection(
        names=chosen,
        sentence=f"{len(chosen)} of {len(names)} cases; the model learned from the other {left_out}."
        if left_out
        else f"All {len(chosen)} cases.",
    )


def _listed(path: Path, key: str) -> tuple[str, ...]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("validation-split", f"{path} lists no cases under {key}.") from error
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ConfigError("validation-split", f"{path} lists no cases under {key}.")
    return tuple(names)
