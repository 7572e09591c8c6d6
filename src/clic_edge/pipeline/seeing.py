"""From an identified series to what a model may see: volume, images or slide, without a name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from clic_edge.deid import certified, deidentify
from clic_edge.dicom.acquisition import acquisition_of, free_texts_of
from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.images import build_image
from clic_edge.dicom.reading import read_header
from clic_edge.dicom.slides import build_slide, pictures_only
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.feature import Feature
from clic_edge.domain.image import InputKind
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.deid import DeidKey
    from clic_edge.domain.case import Case
    from clic_edge.domain.clean import CleanSeries, SeriesCertificate
    from clic_edge.domain.image import Image
    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.slide import Slide
    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.runtime import Runtime
    from clic_edge.pipeline.line import Line, ReadyPipeline

_T = TypeVar("_T")
_Kind = TypeVar("_Kind", bound="Volume | Image | Slide")
ASKED_OF_ORIGINAL = frozenset({"suv_bw_factor", "contrast", "age_years", "sex"})
"""Fields of `Acquisition` that a cleaned image no longer tells."""
_HERE = {"cpu", "cuda"}
"""What a runtime says of where it runs, when that is this machine."""


class Part(NamedTuple):
    """What has one prediction: a series, or one image of it."""

    series_id: str
    image: int = 0
    """Position in the series, from 1; 0 for all of it."""

    @property
    def names(self) -> tuple[str, ...]:
        """What tells it apart from every other part of a case."""
        return (self.series_id, f"image {self.image}") if self.image else (self.series_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSeries:
    """One series of a case, cleaned."""

    case: Case
    pipeline: ReadyPipeline
    series: Series
    clean: CleanSeries
    certificate: SeriesCertificate
    """How it was cleaned, the same for whatever model sees it."""
    kind: InputKind
    seconds: tuple[Feature, ...]
    """What it took."""

    def see(self, part: Part) -> Seen:
        """Return a part as models see it; raises as `build_volume`, `build_image`, `build_slide`."""
        clock = Clock(self.seconds)
        seen = clock("volume", self._built(part))
        return Seen(read=self, part=part, seen=seen, seconds=clock.features)

    def _built(self, part: Part) -> Volume | Image | Slide:
        if part.image:
            return build_image(self.clean, part.image - 1)
        if self.kind is InputKind.SLIDE:
            return build_slide(self.clean)
        return build_volume(self.clean, self.pipeline.volume_policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One volume, image or slide of a case, as every model of its pipeline sees it."""

    read: ReadSeries
    part: Part
    seen: Volume | Image | Slide
    seconds: tuple[Feature, ...]

    def by(self, runtime: Runtime) -> Seen:
        """Return the same with what a package asks of the patient, read from the original.

        De-identification takes dose, weight, age and times away, and rightly so: what a package
        declares that it needs is worked out on this side, and only the answer goes on.
        """
        return replace(self, seen=told_by(self.read.series, self.seen, runtime.needs))

    def predicted(self, runtime: Runtime) -> Prediction:
        """Return what a model finds, told no more than its package asks for.

        Raises
        ------
        ConfigError
            ``profile-keeps-pixels``: they may show a name, and the model runs elsewhere.
        Refusal, Defect
            What the runtime raises.

        """
        profile = self.read.pipeline.profile
        if runtime.device not in _HERE and profile.pixels == "keep":
            raise ConfigError(
                "profile-keeps-pixels",
                f"The profile {profile.name} keeps pixels that may show a name or a face, and the "
                "model runs on another machine.",
            )
        return runtime.predict(self.seen.narrowed(runtime.needs))


def told_by(series: Series, seen: _Kind, needs: frozenset[str]) -> _Kind:
    """Return a volume or image with what is asked of the patient, read from the original."""
    asked = ASKED_OF_ORIGINAL & needs
    if not asked:
        return seen
    told = acquisition_of(_original(series, seen))
    answers = {name: getattr(told, name) for name in asked}
    return replace(seen, acquisition=replace(seen.acquisition, **answers))


def free_texts(series: Series, seen: Volume | Image | Slide, key: DeidKey) -> tuple[Feature, ...]:
    """Return digests of what staff typed of the acquisition, under the site's key.

    Such a text may hold a name, so not a word of it is told: two that differ have two digests,
    which is all that a chart needs.
    """
    return tuple(
        Feature(name=f"input.{name}", text=key.stand_in(name, text))
        for name, text in free_texts_of(_original(series, seen))
    )


def _original(series: Series, seen: Volume | Image | Slide) -> Attributes:
    header = read_header(series.instances[seen.slices[0].instance_index].content)
    return Attributes(dataset=header, where="the original")


class Clock:
    """Seconds since the last reading, kept as features."""

    def __init__(self, features: tuple[Feature, ...] = ()) -> None:
        self._last = perf_counter()
        self.features = features

    def __call__(self, name: str, value: _T) -> _T:
        """Return the value, once the time that it took is kept."""
        now = perf_counter()
        self.features += (Feature(name=f"seconds.{name}", number=now - self._last),)
        self._last = now
        return value


def read_series(
    line: Line, case: Case, series_id: str, *, pipeline: ReadyPipeline, kind: InputKind
) -> ReadSeries:
    """Return a series of a case without identifiers; raises as `deidentify`, and `pictures_only`."""
    clock = Clock()
    series = clock("fetch", line.archive.series(series_id))
    if kind is InputKind.SLIDE:
        series = pictures_only(series)
    pseudonym = line.key.pseudonym(series.patient_id, series.issuer_of_patient_id)
    clean = clock("deidentify", deidentify(series, pipeline.profile, pseudonym))
    return ReadSeries(
        case=case,
        pipeline=pipeline,
        series=series,
        clean=clean,
        certificate=certified(clean, pipeline.profile, line.key, case_id=case.case_id),
        kind=kind,
        seconds=clock.features,
    )


def parts_of(line: Line, case: Case, kind: InputKind) -> dict[str, tuple[Part, ...]]:
    """Return what has a prediction of its own, by series."""
    if kind is not InputKind.IMAGE:
        return {series_id: (Part(series_id),) for series_id in case.series_ids}
    study = line.archive.study(case.study_id)
    counts = {one.series_id: one.number_of_instances for one in study.series}
    return {
        series_id: tuple(Part(series_id, image) for image in range(1, counts[series_id] + 1))
        for series_id in case.series_ids
    }
