"""What Prometheus reads of the ledger, at the moment when it asks: right also after a restart."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.x509 import load_pem_x509_certificate
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clic_edge import __version__
from clic_edge.domain.accounting import bounds
from clic_edge.domain.monitoring import Severity
from clic_edge.domain.pressure import Pressure
from clic_edge.domain.standing import ModelState
from clic_edge.drift.design import is_provisional
from clic_edge.errors import ClicEdgeError
from clic_edge.ledger.database import DatabaseAway
from clic_edge.ledger.records import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.gauges import Gauges

_DUE_SINCE: Final = timedelta(days=31)
_OPEN: Final = ("received", "running", "waiting")
Samples = list[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric: a gauge, with labels in a fixed order."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


UP: Final = Family(name="clic_edge_ledger_up", help="Whether the ledger could be read.")
BUILD: Final = Family(name="clic_edge_build_info", help="Always 1.", labels=("version",))
HEARD: Final = Family(
    name="clic_edge_worker_heartbeat_timestamp_seconds",
    help="When a worker last looked for what it missed; 0 for never.",
)
OPEN: Final = Family(
    name="clic_edge_open_cases", help="Cases that have not ended.", labels=("state",)
)
CASES: Final = Family(
    name="clic_edge_ledger_cases",
    help="Cases by the state they are in.",
    labels=("pipeline", "state"),
)
ENDS: Final = Family(
    name="clic_edge_ledger_ended_cases",
    help="Refused and quarantined cases, and why.",
    labels=("pipeline", "state", "code"),
)
OLDEST: Final = Family(
    name="clic_edge_oldest_open_case_age_seconds",
    help="Since the oldest open case was received.",
    labels=("pipeline",),
)
RECEIPTS: Final = Family(
    name="clic_edge_ledger_receipts",
    help="Result objects by a destination's newest answer.",
    labels=("destination", "result"),
)
MODELS: Final = Family(
    name="clic_edge_model_state",
    help="1 for the state that a model is in, 0 for the others.",
    labels=("pipeline", "model", "version", "state"),
)
ALARMS: Final = Family(
    name="clic_edge_open_alarms", help="Open drift alarms.", labels=("model", "severity")
)
REFERENCES: Final = Family(
    name="clic_edge_references",
    help="References that are charted, each of one scanner or of all.",
    labels=("model",),
)
PROVISIONAL: Final = Family(
    name="clic_edge_provisional_references",
    help="Those of them that are too small for alarms to act on.",
    labels=("model",),
)
CONSTANCY_AT: Final = Family(
    name="clic_edge_constancy_last_run_timestamp_seconds",
    help="When the newest judged constancy run ended.",
    labels=("protocol", "pipeline"),
)
CONSTANCY_PASSED: Final = Family(
    name="clic_edge_constancy_last_run_passed",
    help="Whether it passed.",
    labels=("protocol", "pipeline"),
)
DISK_FREE: Final = Family(
    name="clic_edge_disk_free_bytes", help="Free on the disk of the appliance's state."
)
DISK_SIZE: Final = Family(
    name="clic_edge_disk_size_bytes", help="Size of the disk of the appliance's state."
)
EXPIRY: Final = Family(
    name="clic_edge_certificate_expiry_timestamp_seconds",
    help="When the certificate of the pages expires; absent where they have none.",
)
NOTICES: Final = Family(
    name="clic_edge_notices",
    help="Notices by what became of them on a channel.",
    labels=("channel", "state"),
)
DIFFERENCES: Final = Family(
    name="clic_edge_account_differences",
    help="Where ledger, archive and a destination differ, and nobody has acknowledged it.",
    labels=("kind", "destination"),
)
ACCOUNTED: Final = Family(
    name="clic_edge_account_last_day_end_timestamp_seconds",
    help="End of the newest day of which an account was compared to the end; absent before.",
)
LATE: Final = Family(
    name="clic_edge_deadline_cases_at_risk",
    help="Open cases whose result will be late, or is.",
    labels=("pipeline", "cause"),
)
DUE: Final = Family(
    name="clic_edge_deadline_results",
    help="Results that were due in the last 31 days.",
    labels=("pipeline", "result"),
)
PRESSURE: Final = Family(
    name="clic_edge_intake_pressure",
    help="1 for what weighs on the intake now, 0 for what does not.",
    labels=("pressure",),
)
FAMILIES: Final = (
    *(UP, BUILD, HEARD, OPEN, CASES, ENDS, OLDEST, RECEIPTS, MODELS, ALARMS, REFERENCES),
    *(PROVISIONAL, CONSTANCY_AT, CONSTANCY_PASSED, DISK_FREE, DISK_SIZE, EXPIRY, NOTICES),
    *(DIFFERENCES, ACCOUNTED),
    *(LATE, DUE, PRESSURE),
)


class LedgerCollector(Collector):
    """Reads the ledger for each scrape; where it is away, says that and no numbers."""

    def __init__(self, ledger: Ledger, folder: Path, certificate: Path | None = None) -> None:
        """Read a ledger, the disk that a folder is on, and the certificate of the pages."""
        self._ledger = ledger
        self._folder = folder
        self._certificate = certificate
        self._known = frozenset[str]()
        self._charted: tuple[tuple[str, bool], ...] = ()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: being registered reads no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        disk = shutil.disk_usage(self._folder)
        yield _metric(BUILD, [((__version__,), 1)])
        yield _metric(DISK_FREE, [((), disk.free)])
        yield _metric(DISK_SIZE, [((), disk.total)])
        yield _metric(EXPIRY, list(_expiry(self._certificate)))
        try:
            found = tuple(self._read())
        except (DatabaseAway, ClicEdgeError):
            yield _metric(UP, [((), 0)])
        else:
            yield _metric(UP, [((), 1)])
            yield from found

    def _read(self) -> Iterator[Metric]:
        gauges = self._ledger.gauges.read()
        beat = self._ledger.records.cursor(HEARTBEAT)
        yield _metric(HEARD, [((), beat)])
        yield from _of_cases(gauges)
        yield _metric(RECEIPTS, [(one.labels, one.count) for one in gauges.receipts])
        yield _metric(
            MODELS,
            [
                ((*placed, state), float(state == now))
                for *placed, now in gauges.models
                for state in ModelState
            ],
        )
        yield from self._of_the_monitor(gauges)
        yield _metric(
            CONSTANCY_AT, [(one.labels[:2], one.at.timestamp()) for one in gauges.constancy]
        )
        yield _metric(
            CONSTANCY_PASSED,
            [(one.labels[:2], float(one.labels[2] == "passed")) for one in gauges.constancy],
        )
        yield _metric(NOTICES, [(one.labels, one.count) for one in gauges.notices])
        yield _metric(DIFFERENCES, [(one.labels, one.count) for one in gauges.differences])
        if gauges.accounted:
            yield _metric(ACCOUNTED, [((), bounds(gauges.accounted)[1].timestamp())])
        yield from self._of_deadlines()
        weighs = {one.pressure for one in self._ledger.pressure.standing()}
        yield _metric(PRESSURE, [((one,), float(one in weighs)) for one in Pressure])

    def _of_deadlines(self) -> Iterator[Metric]:
        alarms = [one.risk for one in self._ledger.deadlines.alarms()]
        yield _metric(LATE, [((one.pipeline, one.cause), one.cases) for one in alarms])
        now = datetime.now(UTC)
        results = Counter[tuple[str, ...]]()
        for one in self._ledger.deadlines.kept(now - _DUE_SINCE, now):
            results[one.pipeline, "kept"] += one.kept
            results[one.pipeline, "missed"] += one.missed
        yield _metric(DUE, list(results.items()))

    def _of_the_monitor(self, gauges: Gauges) -> Iterator[Metric]:
        charted = self._references()
        models = sorted({model for model, _ in charted})
        rung = {one.labels: one.count for one in gauges.alarms}
        ringing = {model for model, _ in rung} | set(models)
        yield _metric(
            ALARMS,
            [((one, it), rung.get((one, it), 0)) for one in sorted(ringing) for it in Severity],
        )
        yield _metric(
            REFERENCES, [((one,), sum(model == one for model, _ in charted)) for one in models]
        )
        yield _metric(
            PROVISIONAL,
            [((one,), sum(model == one and small for model, small in charted)) for one in models],
        )

    def _references(self) -> tuple[tuple[str, bool], ...]:
        """Return model and whether it is provisional of each reference that is charted."""
        known = self._ledger.monitoring.reference_ids()
        if known != self._known:  # they are large, and never change
            newest = {
                (one.model_digest, one.stratum): (one.model_id, is_provisional(one.observations))
                for one in self._ledger.monitoring.references()
            }
            self._known, self._charted = known, tuple(newest.values())
        return self._charted


def _expiry(certificate: Path | None) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield when a certificate expires; nothing where there is none, or none that can be read."""
    if certificate is None:
        return
    try:
        read = load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return  # the pages themselves say what is wrong with it
    yield (), read.not_valid_after_utc.timestamp()


def _of_cases(gauges: Gauges) -> Iterator[Metric]:
    under_way = {
        state: sum(one.count for one in gauges.cases if one.labels[1] == state) for state in _OPEN
    }
    yield _metric(OPEN, [((state,), count) for state, count in under_way.items()])
    yield _metric(CASES, [(one.labels, one.count) for one in gauges.cases])
    yield _metric(ENDS, [(one.labels, one.count) for one in gauges.ends])
    now = datetime.now(UTC)
    yield _metric(
        OLDEST, [(one.labels, max(0, (now - one.at).total_seconds())) for one in gauges.oldest]
    )


def _metric(family: Family, samples: Samples) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(labels, value)
    return metric
