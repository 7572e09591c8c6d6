"""Features in one row each: what is written comes back, and what lay there before is moved."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from observed import BEGIN, SKYRA, STEP, log, observations

from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Observation, Stratum
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import migrate
from clic_edge.ledger.metadata import metadata

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

END = BEGIN + timedelta(days=365)
DIGEST = "d" * 64


def seen(*features: Feature, minute: int = 0) -> Observation:
    return Observation(at=BEGIN + timedelta(minutes=minute), stratum=SKYRA, features=features)


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger.on(engine)


def test_columns_of_one_model_come_back_as_they_were_logged(engine: Engine, ledger: Ledger) -> None:
    ours = observations(40)
    log(engine, ours)
    log(engine, observations(5, seed=2), digest="e" * 64)
    wanted = ("input.noise", "input.sex")
    table = ledger.features.table(DIGEST, after=BEGIN, until=BEGIN + 30 * STEP, names=wanted)
    kept = ours[1:31]
    by_name = [{one.name: one for one in each.features} for each in kept]
    assert table.at == tuple(one.at for one in kept)
    assert set(table.strata) == {SKYRA}
    assert table.number("input.noise").tolist() == [one["input.noise"].number for one in by_name]
    assert table.word("input.sex") == tuple(one["input.sex"].text for one in by_name)
    assert [name for name, _ in table.numbers] == ["input.noise"]
    assert np.isnan(table.number("input.sharpness")).all()
    assert not table.number("input.noise").flags.writeable


def test_what_is_not_finite_is_no_number(engine: Engine, ledger: Ledger) -> None:
    odd = tuple(Feature(name=name, number=it) for name, it in (("a", nan), ("b", inf), ("c", 1.5)))
    log(engine, [seen(*odd), seen(Feature(name="b", number=2.0), minute=1)])
    first, second = ledger.predictions.rows(BEGIN)
    assert first.features == (Feature(name="c", number=1.5),)
    assert second.features == (Feature(name="b", number=2.0),)
    table = ledger.features.table(DIGEST, after=None, until=END)
    assert np.array_equal(table.number("b"), [nan, 2.0], equal_nan=True)
    assert len(table.word("nobody has it")) == len(table) == len(first.features) + 1


def test_models_are_named_with_the_newest_last(engine: Engine, ledger: Ledger) -> None:
    assert ledger.observations.models() == ()
    log(engine, observations(2, begin=BEGIN + STEP), digest="a" * 64)
    log(engine, observations(2), digest="b" * 64)
    assert [digest[0] for _, _, digest in ledger.observations.models()] == ["b", "a"]


def test_what_lay_in_a_row_for_each_feature_is_moved(engine: Engine) -> None:
    """Features of the layout before revision 0014 survive the migration."""
    _go_back(engine)
    with engine.begin() as connection:
        case = "('c', 's', 'p', '[]', 'delivered', 0, false, '', '', '2026-01-01', NULL, "
        case += "'2026-01-01', NULL, NULL, '')"
        given = [("cases", case)]
        for day in (1, 2):
            row = f"('p{day}', 'c', 's', 'x', 'u', 'm', '1', 'd', 'cpu', '2026-01-0{day} 01:00:00')"
            given.append(("predictions", row))
        features = ("'input.manufacturer', NULL, 'Ørsted'", "'output.x.volume_mm3', 2.5, ''")
        given += [("prediction_features", f"('p1', {row})") for row in features]
        for table, row in given:
            statement = f"INSERT INTO {table} VALUES {row}"  # noqa: S608 - names of this file
            connection.execute(sa.text(statement))
    migrate(engine)
    first, second = Ledger.on(engine).predictions.rows(BEGIN)
    assert first.features == (
        Feature(name="input.manufacturer", text="Ørsted"),
        Feature(name="output.x.volume_mm3", number=2.5),
    )
    assert second.features == ()
    (one,) = Ledger.on(engine).features.table("d", after=None, until=END).strata
    assert one == Stratum(manufacturer="Ørsted")


def _go_back(engine: Engine) -> None:
    """Make the tables as they were at revision 0013."""
    config = Config()
    config.set_main_option("script_location", str(files("clic_edge.ledger") / "migrations"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        else:
            connection.execute(sa.text("PRAGMA defer_foreign_keys=ON"))
            for table in (*reversed(metadata.sorted_tables), sa.table("alembic_version")):
                connection.execute(sa.text(f"DROP TABLE {table.name}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0013")
