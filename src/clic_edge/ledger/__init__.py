"""Cases, predictions, audit: what the appliance remembers.

The seam is the database URL: SQLite, PostgreSQL and a database in memory pass the same contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.ledger.accounting import AccountingStore
from clic_edge.ledger.accounts import AccountStore
from clic_edge.ledger.alarms import AlarmStore
from clic_edge.ledger.annotations import AnnotationStore
from clic_edge.ledger.api_tokens import ApiTokenStore
from clic_edge.ledger.assessments import AssessmentStore
from clic_edge.ledger.attempts import AttemptStore
from clic_edge.ledger.attention import AttentionStore
from clic_edge.ledger.audit import AuditStore
from clic_edge.ledger.batches import BatchStore
from clic_edge.ledger.cases import CaseStore
from clic_edge.ledger.certificates import CertificateStore
from clic_edge.ledger.charted import ChartedStore
from clic_edge.ledger.constancy import ConstancyStore
from clic_edge.ledger.days import FeatureDayStore
from clic_edge.ledger.deadlines import DeadlineStore
from clic_edge.ledger.deliveries import DeliveryStore
from clic_edge.ledger.export import ExportStore
from clic_edge.ledger.features import FeatureStore
from clic_edge.ledger.gauges import GaugeStore
from clic_edge.ledger.monitoring import MonitoringStore
from clic_edge.ledger.notices import NoticeStore
from clic_edge.ledger.observations import ObservationStore
from clic_edge.ledger.overview import OverviewStore
from clic_edge.ledger.periods import PeriodStore
from clic_edge.ledger.predictions import PredictionStore
from clic_edge.ledger.pressure import PressureStore
from clic_edge.ledger.pruning import PruneStore
from clic_edge.ledger.records import RecordStore
from clic_edge.ledger.search import SearchStore
from clic_edge.ledger.senders import SenderStore
from clic_edge.ledger.sessions import SessionStore
from clic_edge.ledger.shadows import ShadowStore
from clic_edge.ledger.standing import StandingStore
from clic_edge.ledger.traffic import TrafficStore
from clic_edge.ledger.truths import TruthStore
from clic_edge.ledger.withdrawals import WithdrawalStore
from clic_edge.ledger.workers import WorkerStore

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.ledger.cases import CaseQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The stores on one database."""

    cases: CaseStore
    predictions: PredictionStore
    certificates: CertificateStore
    features: FeatureStore
    truths: TruthStore
    days: FeatureDayStore
    pruning: PruneStore
    export: ExportStore
    deliveries: DeliveryStore
    assessments: AssessmentStore
    constancy: ConstancyStore
    gauges: GaugeStore
    alarms: AlarmStore
    audit: AuditStore
    monitoring: MonitoringStore
    notices: NoticeStore
    observations: ObservationStore
    overview: OverviewStore
    periods: PeriodStore
    records: RecordStore
    search: SearchStore
    standing: StandingStore
    shadows: ShadowStore
    withdrawals: WithdrawalStore
    accounting: AccountingStore
    accounts: AccountStore
    senders: SenderStore
    sessions: SessionStore
    attempts: AttemptStore
    attention: AttentionStore
    api_tokens: ApiTokenStore
    annotations: AnnotationStore
    charted: ChartedStore
    traffic: TrafficStore
    workers: WorkerStore
    deadlines: DeadlineStore
    batches: BatchStore
    pressure: PressureStore

    @classmethod
    def on(cls, engine: Engine, queue: CaseQueue | None = None) -> Ledger:
        """Return the stores on an engine; without a queue, admitted cases wait for a caller."""
        return cls(
            cases=CaseStore(engine, queue),
            predictions=PredictionStore(engine),
            certificates=CertificateStore(engine),
            features=FeatureStore(engine),
            truths=TruthStore(engine),
            days=FeatureDayStore(engine),
            pruning=PruneStore(engine),
            export=ExportStore(engine),
            deliveries=DeliveryStore(engine),
            assessments=AssessmentStore(engine),
            constancy=ConstancyStore(engine),
            gauges=GaugeStore(engine),
            alarms=AlarmStore(engine),
            audit=AuditStore(engine),
            monitoring=MonitoringStore(engine),
            notices=NoticeStore(engine),
            observations=ObservationStore(engine),
            overview=OverviewStore(engine),
            periods=PeriodStore(engine),
            records=RecordStore(engine),
            search=SearchStore(engine),
            standing=StandingStore(engine),
            shadows=ShadowStore(engine),
            withdrawals=WithdrawalStore(engine),
            accounting=AccountingStore(engine),
            accounts=AccountStore(engine),
            senders=SenderStore(engine),
            sessions=SessionStore(engine),
            attempts=AttemptStore(engine),
            attention=AttentionStore(engine),
            api_tokens=ApiTokenStore(engine),
            annotations=AnnotationStore(engine),
            charted=ChartedStore(engine),
            traffic=TrafficStore(engine),
            workers=WorkerStore(engine),
            deadlines=DeadlineStore(engine),
            batches=BatchStore(engine),
            pressure=PressureStore(engine),
        )
