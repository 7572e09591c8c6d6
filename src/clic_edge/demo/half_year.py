"""Half a year in a few seconds: a scanner gets new software that it does not tell of.

The studies are drawn from what the hippocampus model said of 160 real ones, and from how the same
images look to it after such a change (`benchmarks/drift_features.json`). What watches them is the
monitor that watches a site.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import TypeAdapter
from scipy.stats import norm

from clic_edge.app import Appliance
from clic_edge.assembly import monthly_reports
from clic_edge.cli.console import moment, note, table
from clic_edge.demo.pages import keep_up, say_address, say_pictures
from clic_edge.demo.screens import shoot
from clic_edge.demo.site import ROOT, running_pages, running_site
from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.domain.feature import Feature
from clic_edge.domain.standing import Placement
from clic_edge.drift.reference import Acceptance
from clic_edge.inference.package import load_package
from clic_edge.ledger.database import migrate
from clic_edge.ledger.past import PastStudy, write_past
from clic_edge.pipeline.monitoring import freeze_references, policy_of, watch_models

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.demo.site import Site
    from clic_edge.domain.monitoring import Alarm
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.ledger import Ledger

MODEL: Final = "hippocampus"
DAYS: Final = 182
ACCEPTED_DAY: Final = 100
CHANGED_DAY: Final = 150
"""From here on the first scanner has other software, and says that it has the same."""
UPGRADED_DAY: Final = 168
"""From here on the second scanner has other software, and says so."""
CHANGE: Final = "new scanner software, not stamped"
PERSON: Final = "Ida Fysiker"
_A_DAY, _ON_SUNDAYS = 16, 5
_SEED = 20261121
_REFUSED = "The images are not known to be made without contrast, as this model needs."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the model said of real studies: quantiles of each feature, and what goes with what."""

    names: tuple[str, ...]
    quantiles: tuple[tuple[float, ...], ...]
    correlation: tuple[tuple[float, ...], ...]
    shifts: dict[str, tuple[float, ...]]
    spreads: dict[str, tuple[float, ...]]
    cases: int

    def draw(self, rng: np.random.Generator, *, changed: bool) -> dict[str, float]:
        """Return the features of one more study, by name."""
        scores = rng.multivariate_normal(np.zeros(len(self.names)), self.correlation)
        if changed:
            scores = scores * self.spreads[CHANGE] + self.shifts[CHANGE]
        shares = norm.cdf(scores)
        return {
            name: float(np.interp(share, np.linspace(0, 1, len(values)), values))
            for name, share, values in zip(self.names, shares, self.quantiles, strict=True)
        }


def run_half_year(out: Path, *, stay: bool) -> None:
    """Replay half a year on a site of its own, and show what the monitor says.

    Raises as `run_demo`.
    """
    out = out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    note("Starting the appliance, and writing half a year of studies into its ledger.")
    with running_site(out / "site") as site:
        alarms = replay(site, datetime.now(UTC))
        table(
            f"alarms: {len(alarms)}",
            ("opened", "severity", "scanner", "what"),
            (
                (moment(one.opened_at), str(one.severity), str(one.stratum), one.sentence)
                for one in alarms
            ),
        )
        with running_pages(site) as visitor:
            digest = load_package(ROOT / "models" / MODEL).digest
            wanted = {
                "overview": "/",
                "alarms": "/alarms",
                "reports": "/reports",
                "model": f"/models/{MODEL}/{digest}?days=365",
            }
            say_pictures(shoot(visitor, wanted, out))
            say_address(visitor)
            keep_up(stay=stay)


def replay(site: Site, now: datetime) -> tuple[Alarm, ...]:
    """Fill a site's ledger with the half year before `now`; return the alarms that came of it.

    The report of the last month lies on its shelf then, too.
    """
    appliance = Appliance.open(site.settings)
    migrate(appliance.engine)
    model = load_package(ROOT / "models" / MODEL).identity
    begin = now.replace(hour=7, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    studies = tuple(_studies(model, begin, now))
    write_past(appliance.engine, studies)
    ledger = appliance.ledger
    place = Placement(
        pipeline=MODEL, model_id=model.model_id, version=model.version, digest=model.digest
    )
    ledger.standing.enrol(place, [], decides=True)
    acceptance = Acceptance(
        name="acceptance",
        model_id=model.model_id,
        model_version=model.version,
        model_digest=model.digest,
        frozen_at=begin + timedelta(days=ACCEPTED_DAY),
        frozen_by=PERSON,
    )
    freeze_references(ledger, acceptance)
    _assess(ledger, studies, now)
    watch_models(ledger, policy_of(appliance.settings), now=now)
    monthly_reports(appliance.settings, ledger).make_due(now)
    return ledger.monitoring.alarms()


def _studies(model: ModelIdentity, begin: datetime, now: datetime) -> Iterator[PastStudy]:
    rng = np.random.default_rng(_SEED)
    text = (ROOT / "benchmarks" / "drift_features.json").read_text(encoding="utf-8")
    seen = TypeAdapter(_Seen).validate_json(text)
    number = 0
    for day in range(DAYS + 1):
        weekend = (begin + timedelta(days=day)).weekday() > 4  # noqa: PLR2004 - Friday
        for hour in np.sort(rng.uniform(0, 11, _ON_SUNDAYS if weekend else _A_DAY)):
            at = begin + timedelta(days=day, hours=float(hour))
            if at > now - timedelta(minutes=2):
                return
            number += 1
            refused = rng.random() < 0.02  # noqa: PLR2004 - one in fifty
            first = bool(rng.random() < 0.6)  # noqa: PLR2004 - the busier scanner
            yield PastStudy(
                number=number,
                at=at,
                took=timedelta(seconds=float(rng.gamma(9, 0.7))),
                pipeline=MODEL,
                model=model,
                code="contrast-unsupported" if refused else "",
                reason=_REFUSED if refused else "",
                features=()
                if refused
                else (
                    *_scanner(day, first=first),
                    *_patient(rng),
                    *(
                        Feature(name=name, number=value)
                        for name, value in seen.draw(
                            rng, changed=first and day >= CHANGED_DAY
                        ).items()
                    ),
                ),
            )


def _scanner(day: int, *, first: bool) -> tuple[Feature, ...]:
    words = ("SIEMENS", "Skyra", "E11")
    if not first:
        words = ("Philips", "Ingenia", "5.9" if day >= UPGRADED_DAY else "5.7.1")
    names = ("manufacturer", "model_name", "software_versions")
    return tuple(
        Feature(name=f"input.{name}", text=word) for name, word in zip(names, words, strict=True)
    )


def _patient(rng: np.random.Generator) -> tuple[Feature, ...]:
    decade = int(rng.choice([50, 60, 70, 80], p=[0.2, 0.35, 0.3, 0.15]))
    return (
        Feature(name="input.sex", text="F" if rng.random() < 0.5 else "M"),  # noqa: PLR2004 - half
        Feature(name="input.age_band", text=f"{decade}-{decade + 9}"),
    )


def _assess(ledger: Ledger, studies: tuple[PastStudy, ...], now: datetime) -> None:
    """Let readers say something of every fifth study of the last weeks."""
    rng = np.random.default_rng(_SEED)
    kinds = (Verdict.ACCEPTED, Verdict.MODIFIED, Verdict.REJECTED)
    asked = [one for one in studies if one.features and one.at > now - timedelta(days=60)][::5]
    given = []
    for number, one in enumerate(asked):
        verdict = kinds[int(rng.choice(3, p=[0.82, 0.15, 0.03]))]
        drawn = verdict is Verdict.MODIFIED
        volume = next(f.number for f in one.features if f.name == "output.anterior.volume_mm3")
        given.append(
            Assessment(
                case_id=one.case_id,
                prediction_id=one.prediction_id,
                finding="anterior",
                verdict=verdict,
                reason=None if verdict is Verdict.ACCEPTED else list(Reason)[number % 4],
                reader=f"reader-{number % 3}",
                source=Source.SEGMENTATION if drawn else Source.PAGE,
                at=one.at + timedelta(hours=float(rng.uniform(0.2, 6))),
                dice=float(rng.beta(30, 3)) if drawn else None,
                volume_mm3=(volume or 0) * float(rng.normal(1.02, 0.06)) if drawn else None,
            )
        )
    ledger.assessments.record([one for one in given if one.at < now])
