"""The prediction log: one row for each prediction, with its features; never an identity.

Beside the row lies the segmentation itself until the case is delivered, so that a retried case
reuses the prediction that was logged instead of making another.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from pydantic import TypeAdapter

from clic_edge.domain.prediction import (
    CategoryFinding,
    Code,
    Detection,
    ModelIdentity,
    ParametricMap,
    Prediction,
    SegmentFinding,
)
from clic_edge.domain.volume import Geometry, SliceSource
from clic_edge.ledger.certificates import note_cleaned
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.features import VALUES, stratum_of, unpacker, write_features
from clic_edge.ledger.room import disk_full, require_room
from clic_edge.ledger.schema import predictions, segmentations
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from clic_edge.domain.clean import SeriesCertificate
    from clic_edge.domain.feature import Feature
    from clic_edge.errors import Transient

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrediction:
    """A prediction on its way into the log, or as a retried case finds it there."""

    prediction_id: str
    case_id: str
    series_id: str
    """The archive's handle of the series, by which the writers find the source again."""
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""
    prediction: Prediction
    slices: tuple[SliceSource, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """One line of the log as people and monitors read it."""

    prediction_id: str
    case_id: str
    subject_id: str
    series_uid: str
    model_id: str
    model_version: str
    model_digest: str
    device: str
    created_at: datetime
    features: tuple[Feature, ...]
    """Sorted by name; none where they were pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSource:
    """Which images a prediction is of, by handles and stand-ins."""

    prediction_id: str
    case_id: str
    series_id: str
    """The archive's handle of the series."""
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""
    model_version: str
    model_digest: str


class PredictionStore:
    """The prediction log, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def log(
        self,
        logged: LoggedPrediction,
        features: tuple[Feature, ...],
        *,
        with_mask: bool = True,
        cleaned: SeriesCertificate | None = None,
    ) -> None:
        """Write one prediction; writing the same prediction id again changes nothing.

        Without its mask no result can be written of it: so is logged what runs in the shadow.
        How its series was `cleaned` is written with it, once whatever models saw it.

        Raises
        ------
        Transient
            ``disk-full``: what is left of the disk is for the states of cases.

        """
        require_room(self._engine)
        model = logged.prediction.model
        row = {
            "prediction_id": logged.prediction_id,
            "case_id": logged.case_id,
            "series_id": logged.series_id,
            "subject_id": logged.subject_id,
            "series_uid": logged.series_uid,
            "model_id": model.model_id,
            "model_version": model.version,
            "model_digest": model.digest,
            "device": logged.prediction.device,
            "created_at": datetime.now(UTC),
        } | asdict(stratum_of(features))
        key = {"prediction_id": logged.prediction_id}
        # Made before the transaction begins: SQLite has one writer, and a mask takes a second.
        masks = [{**key, "content": _pack(logged.prediction, logged.slices)}] if with_mask else []
        with self._engine.begin() as connection:
            if insert_once(connection, predictions, [row]):
                embedding = logged.prediction.embedding
                write_features(connection, logged.prediction_id, features, embedding=embedding)
            if cleaned:
                note_cleaned(connection, cleaned)
            insert_once(connection, segmentations, masks)

    def no_room(self) -> Transient:
        """Return what a case waits with that found the disk full."""
        return disk_full(self._engine)

    def has(self, prediction_id: str) -> bool:
        """Whether this prediction was made already, and results can be written of it."""
        query = sa.select(sa.literal(1)).where(segmentations.c.prediction_id == prediction_id)
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def of_case(self, case_id: str, model_digest: str) -> tuple[LoggedPrediction, ...]:
        """Return what one model predicted for a case that is under way, by series."""
        query = (
            sa.select(predictions, segmentations.c.content)
            .join(segmentations)
            .where(predictions.c.case_id == case_id, predictions.c.model_digest == model_digest)
            .order_by(predictions.c.series_id)
        )
        with self._engine.connect() as connection:
            return tuple(_logged(row) for row in connection.execute(query))

    def devices(self, case_id: str) -> tuple[str, ...]:
        """Return where the predictions of a case were made, each once, sorted."""
        query = sa.select(predictions.c.device).where(predictions.c.case_id == case_id)
        with self._engine.connect() as connection:
            return tuple(sorted(set(connection.scalars(query))))

    def sources(self, model_id: str, since: datetime) -> tuple[PredictionSource, ...]:
        """Return what the versions of a model looked at since a moment, newest first."""
        columns = [predictions.c[name] for name in PredictionSource.__slots__]
        chosen = (predictions.c.model_id == model_id) & (predictions.c.created_at >= since)
        order = (predictions.c.created_at.desc(), predictions.c.prediction_id)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(chosen).order_by(*order))
            return tuple(PredictionSource(**row._mapping) for row in rows)

    def rows(self, since: datetime) -> tuple[PredictionRow, ...]:
        """Return every prediction since a moment, oldest first."""
        return tuple(self.each(since))

    def of_one_case(self, case_id: str) -> tuple[PredictionRow, ...]:
        """Return every prediction of a case, of models in the shadow too, oldest first."""
        return tuple(self._each(predictions.c.case_id == case_id))

    def each(self, since: datetime) -> Iterator[PredictionRow]:
        """Yield every prediction since a moment, oldest first; few of them are held at a time."""
        return self._each(predictions.c.created_at >= since)

    def _each(self, wanted: sa.ColumnElement[bool]) -> Iterator[PredictionRow]:
        order = (predictions.c.created_at, predictions.c.prediction_id)
        names = [name for name in PredictionRow.__slots__ if name != "features"]
        columns = [predictions.c[name] for name in names]
        query = sa.select(*[*columns, *VALUES]).outerjoin(feature_values)
        chosen = query.where(wanted).order_by(*order)
        with self._engine.connect() as connection:
            unpack = unpacker(connection)
            streamed = connection.execution_options(yield_per=_AT_A_TIME)
            for row in streamed.execute(chosen):
                features = tuple(sorted(unpack(row), key=lambda one: one.name))
                own = {name: row._mapping[name] for name in names}
                yield PredictionRow(**own, features=features)


def _logged(row: sa.Row[tuple[object, ...]]) -> LoggedPrediction:
    values = row._mapping
    prediction, slices = _unpack(values["content"], values["device"])
    return LoggedPrediction(
        prediction_id=values["prediction_id"],
        case_id=values["case_id"],
        series_id=values["series_id"],
        subject_id=values["subject_id"],
        series_uid=values["series_uid"],
        prediction=prediction,
        slices=slices,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MapHeader:
    """A parametric map without its numbers."""

    name: str
    label: str
    quantity: Code
    unit: Code
    segment: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """A prediction without its arrays."""

    model: ModelIdentity
    segments: tuple[SegmentFinding, ...]
    forward_seconds: float
    categories: tuple[CategoryFinding, ...] = ()
    detections: tuple[Detection, ...] = ()
    maps: tuple[_MapHeader, ...] = ()
    in_patient: bool = True
    on_slide: bool = False
    in_mm: bool = True


_HEADER = TypeAdapter(_Header)


def _pack(prediction: Prediction, slices: tuple[SliceSource, ...]) -> bytes:
    header = _Header(
        model=prediction.model,
        segments=prediction.segments,
        forward_seconds=prediction.forward_seconds,
        categories=prediction.categories,
        detections=prediction.detections,
        maps=tuple(
            _MapHeader(**{name: getattr(one, name) for name in _MapHeader.__slots__})
            for one in prediction.maps
        ),
        in_patient=prediction.geometry.in_patient,
        on_slide=prediction.geometry.on_slide,
        in_mm=prediction.geometry.in_mm,
    )
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        label_map=prediction.label_map,
        affine=prediction.geometry.affine,
        slices=np.array([(s.instance_index, s.frame_number) for s in slices], dtype=np.int64),
        header=np.array(_HEADER.dump_json(header).decode()),
        maps=np.array([one.values for one in prediction.maps], dtype=np.float32),
    )
    return buffer.getvalue()


def _unpack(content: bytes, device: str) -> tuple[Prediction, tuple[SliceSource, ...]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        label_map, affine = stored["label_map"], stored["affine"]
        header = _HEADER.validate_json(str(stored["header"]))
        maps = stored["maps"]
        slices = tuple(
            SliceSource(instance_index=int(index), frame_number=int(frame))
            for index, frame in stored["slices"]
        )
    for array in (label_map, affine, maps):
        array.flags.writeable = False
    prediction = Prediction(
        model=header.model,
        geometry=Geometry(
            affine=affine,
            shape=label_map.shape,
            in_patient=header.in_patient,
            on_slide=header.on_slide,
            in_mm=header.in_mm,
        ),
        label_map=label_map,
        segments=header.segments,
        device=device,
        forward_seconds=header.forward_seconds,
        categories=header.categories,
        detections=header.detections,
        maps=tuple(
            ParametricMap(
                **{name: getattr(one, name) for name in _MapHeader.__slots__}, values=array
            )
            for one, array in zip(header.maps, maps, strict=True)
        ),
    )
    return prediction, slices
