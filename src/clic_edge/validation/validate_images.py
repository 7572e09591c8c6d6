"""A model package run over labelled images: the answers of a classifier, or what was outlined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import ConfigError, Refusal
from clic_edge.inference.loading import load_runtime
from clic_edge.inference.package import load_package
from clic_edge.inference.site import HERE
from clic_edge.validation.answered import AnsweredCase, AnswerReport
from clic_edge.validation.detected import DetectionReport
from clic_edge.validation.froc import DetectedCase, Find, judge
from clic_edge.validation.metrics import compare_areas
from clic_edge.validation.photographs import boxed_images, drawn_eyes, labelled_answers
from clic_edge.validation.report import OUTLINES, CaseAgreement, RefusedCase, Report
from clic_edge.validation.selection import TRAIN, VALIDATION, select

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clic_edge.domain.prediction import Detection, Prediction
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.image_input import Question
    from clic_edge.inference.package import ModelPackage
    from clic_edge.inference.runtime import Runtime
    from clic_edge.inference.site import Site
    from clic_edge.validation.photographs import LabelledImage
    from clic_edge.validation.selection import Selection
    from clic_edge.validation.validate import Progress

SECOND = "second-observer"
"""In a report: what another person drew, compared with the same reference as the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Every chosen image that the package took, with what it found."""

    selection: Selection
    device: str
    found: tuple[tuple[LabelledImage, Prediction], ...]
    refused: tuple[RefusedCase, ...]


def validate_images(
    package_folder: Path,
    data_folder: Path,
    *,
    split: Path | None = None,
    progress: Progress = lambda _done, _total: None,
    site: Site = HERE,
) -> AnswerReport | DetectionReport | Report:
    """Return how a package for images does on those of `data_folder`; see `photographs`.

    Left out are the cases that the package's ``split.json`` lists under ``train`` or
    ``validation``; with `split`, exactly those under its ``validation`` are taken.

    Raises ConfigError and Defect as `validate`.
    """
    package = load_package(package_folder)
    declared = package.declaration
    images = tuple(_labelled(declared, data_folder))
    names = [one.name for one in images]
    selection = select(
        names, package=package_folder, data=data_folder, split=split, seen=(TRAIN, VALIDATION)
    )
    run = _run(load_runtime(package_folder, site), images, selection, progress=progress)
    if declared.questions:
        return _answers(package, declared.questions[0], run)
    if declared.detections:
        return _detections(package, run)
    return _outlines(package, run)


def _labelled(declared: Declaration, folder: Path) -> Sequence[LabelledImage]:
    (modality, *_) = declared.images.modalities
    if declared.detections and not declared.questions:
        kinds = [one.name for one in declared.detections]
        return tuple(boxed_images(folder, kinds=kinds, modality=modality))
    if not declared.questions:
        return tuple(drawn_eyes(folder, modality=modality))
    if len(declared.questions) > 1:
        raise ConfigError(
            "validation-questions", "Labels answer one question; this package answers several."
        )
    names = [one.name for one in declared.questions[0].categories]
    return tuple(labelled_answers(folder, categories=names, modality=modality))


def _run(
    runtime: Runtime,
    images: Sequence[LabelledImage],
    selection: Selection,
    *,
    progress: Progress,
) -> _Run:
    chosen = frozenset(selection.names)
    found, refused = [], []
    for done, one in enumerate(image for image in images if image.name in chosen):
        progress(done, len(chosen))
        try:
            found.append((one, _predicted(runtime, one)))
        except Refusal as error:
            refused.append(RefusedCase(name=one.name, code=error.code, reason=error.sentence))
    progress(len(chosen), len(chosen))
    return _Run(
        selection=selection, device=runtime.device, found=tuple(found), refused=tuple(refused)
    )


def _predicted(runtime: Runtime, one: LabelledImage) -> Prediction:
    return runtime.predict(one.image.narrowed(runtime.needs))


def _answers(package: ModelPackage, question: Question, run: _Run) -> AnswerReport:
    thresholds = [place for place, one in enumerate(question.categories) if one.threshold]
    return AnswerReport(
        model=package.identity,
        selection=run.selection.sentence,
        device=run.device,
        class_names=tuple(one.name for one in question.categories),
        positive=thresholds[0] if thresholds else len(question.categories) - 1,
        cases=tuple(_answer(one, prediction) for one, prediction in run.found),
        refused=run.refused,
        groups=_groups([one for one, _ in run.found]),
    )


def _answer(one: LabelledImage, prediction: Prediction) -> AnsweredCase:
    places = [place for place, found in enumerate(prediction.categories) if found.chosen]
    return AnsweredCase(
        name=one.name,
        truth=-1 if one.answer is None else one.answer,
        found=places[0],
        probabilities=tuple(found.probability for found in prediction.categories),
    )


def _detections(package: ModelPackage, run: _Run) -> DetectionReport:
    return DetectionReport(
        model=package.identity,
        selection=run.selection.sentence,
        device=run.device,
        class_names=tuple(one.name for one in package.declaration.detections),
        cases=tuple(
            DetectedCase(
                name=one.name,
                there=tuple(box.kind for box in one.boxes),
                finds=judge(
                    [_find(found, prediction) for found in prediction.detections], one.boxes
                ),
            )
            for one, prediction in run.found
        ),
        refused=run.refused,
    )


def _find(found: Detection, prediction: Prediction) -> Find:
    """Return where a detection lies, in pixels from the outer edge of the first one."""
    middle = np.append(np.mean(found.corners_mm, axis=0), 1.0)
    _, row, column, _ = np.linalg.solve(prediction.geometry.affine, middle).tolist()
    kind = found.name.rpartition(" ")[0]
    return Find(kind=kind, x=column + 0.5, y=row + 0.5, probability=found.probability)


def _outlines(package: ModelPackage, run: _Run) -> Report:
    """Return the report on the first segment; what a second observer drew stands beside it."""
    segment = package.declaration.segments[0]
    observers = min((len(one.drawn) for one, _ in run.found), default=1)
    cases = []
    for one, prediction in run.found:
        reference, *others = one.drawn[:observers]
        masks = (prediction.label_map[0] == segment.number, *others)
        classes = tuple(compare_areas(mask, reference) for mask in masks)
        cases.append(CaseAgreement(name=one.name, classes=classes))
    return Report(
        model=package.identity,
        selection=run.selection.sentence,
        device=run.device,
        class_names=(segment.name, *(SECOND for _ in range(observers - 1))),
        cases=tuple(cases),
        refused=run.refused,
        measure=OUTLINES,
    )


def _groups(images: Sequence[LabelledImage]) -> dict[str, dict[str, tuple[str, ...]]]:
    groups: dict[str, dict[str, list[str]]] = {}
    for one in images:
        for column, value in one.groups.items():
            groups.setdefault(column, {}).setdefault(value, []).append(one.name)
    return {
        column: {value: tuple(names) for value, names in sorted(values.items())}
        for column, values in groups.items()
    }
