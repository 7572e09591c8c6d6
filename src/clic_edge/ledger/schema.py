"""The tables. No column holds an identity: handles, digests, keyed pseudonyms and numbers only.

`migrations/` makes these tables; a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("case_id", sa.String(64), primary_key=True),
    sa.Column("study_id", sa.String(64), nullable=False, index=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("series_ids", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("expedited", sa.Boolean, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    sa.Column("started_at", UtcDateTime),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("next_attempt_at", UtcDateTime),
    sa.Column("superseded_by", sa.String(64), index=True),
    sa.Column("study_digest", sa.String(64), nullable=False, index=True),
    sa.Column("priority", sa.String(16), nullable=False, server_default="routine"),
    sa.Column("due_at", UtcDateTime, index=True),
    sa.Column("result_at", UtcDateTime),
    sa.Index("ix_cases_state_received_at", "state", "received_at"),
    sa.Index("ix_cases_code_received_at", "code", "received_at"),
)
"""`study_digest` finds a study again that the archive has under another handle: another patient."""

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("prediction_id", sa.String(64), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("series_id", sa.String(64), nullable=False),
    sa.Column("subject_id", sa.String(64), nullable=False, index=True),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("model_id", sa.String(64), nullable=False, index=True),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("device", sa.String(32), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("manufacturer", sa.String(256), nullable=False, index=True),
    sa.Column("model_name", sa.String(256), nullable=False, index=True),
    sa.Column("software_versions", sa.String(256), nullable=False, index=True),
    sa.Index("ix_predictions_model_digest_created_at", "model_digest", "created_at"),
)
"""The scanner is told here beside the features: cases are found by it, and features are pruned."""

segmentations = sa.Table(
    "segmentations",
    metadata,
    sa.Column("prediction_id", sa.ForeignKey("predictions.prediction_id"), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

assessments = sa.Table(
    "assessments",
    metadata,
    sa.Column("assessment_id", sa.String(64), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column(
        "prediction_id", sa.ForeignKey("predictions.prediction_id"), nullable=False, index=True
    ),
    sa.Column("finding", sa.String(64), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("reader", sa.String(64), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("dice", sa.Float),
    sa.Column("volume_mm3", sa.Float),
)

series_refusals = sa.Table(
    "series_refusals",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("series_id", sa.String(64), primary_key=True),
    sa.Column("image", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("withheld", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

shadow_failures = sa.Table(
    "shadow_failures",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("series_id", sa.String(64), primary_key=True),
    sa.Column("model_digest", sa.String(64), primary_key=True),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("refused", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""What a model in the shadow refused (`refused`), or broke at."""

model_events = sa.Table(
    "model_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False, index=True),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("was", sa.String(16)),
    sa.Column("now", sa.String(16), nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("link", sa.String(64), nullable=False),
)
"""Only ever added to; `link` is over the row and the link before it."""

serving = sa.Table(
    "serving",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("instance", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)
"""Workers that run, each with the model that its file names; a row is void after `until`."""

result_objects = sa.Table(
    "result_objects",
    metadata,
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("series_instance_uid", sa.String(64), nullable=False),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("prediction_id", sa.String(64)),
)
"""`prediction_id` is null of what tells of a whole case. `current` is false of what an earlier run of the case said, and a later one does not say."""

receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("destination", sa.String(64), primary_key=True),
    sa.Column(
        "sop_instance_uid",
        sa.ForeignKey("result_objects.sop_instance_uid"),
        primary_key=True,
        index=True,
    ),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("status", sa.String(64), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Index(
        "ix_receipts_not_accepted",
        "status",
        sqlite_where=sa.text("accepted = 0"),
        postgresql_where=sa.text("NOT accepted"),
    ),
)

alarms_told = sa.Table(
    "alarms_told",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("model_digest", sa.String(64), primary_key=True),
    sa.Column("since", UtcDateTime),
)
"""What results tell of alarms on their model, kept so that a rerun tells the same; null of none."""

stage_seconds = sa.Table(
    "stage_seconds",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("stage", sa.String(32), primary_key=True),
    sa.Column("seconds", sa.Float, nullable=False),
)

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("told_at", UtcDateTime),
    sa.Column("hindrance", sa.String(64), nullable=False),
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column(
        "seq",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("case_id", sa.String(64), nullable=False, index=True),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("person", sa.String(64), nullable=False, server_default=""),
    sa.Column("about", sa.String(160), nullable=False, server_default=""),
)
"""Who (`person`, empty for the appliance itself) did what to what: a case, or what `about` names."""

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

drift_references = sa.Table(
    "drift_references",
    metadata,
    sa.Column("reference_id", sa.String(16), primary_key=True),
    sa.Column("model_digest", sa.String(64), nullable=False, index=True),
    sa.Column("frozen_at", UtcDateTime, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
"""`digest` seals `content`, and is written into the audit trail when the reference is frozen."""

drift_progress = sa.Table(
    "drift_progress",
    metadata,
    sa.Column("reference_id", sa.ForeignKey("drift_references.reference_id"), primary_key=True),
    sa.Column("charted_until", UtcDateTime, nullable=False),
    sa.Column("memory", sa.Text, nullable=False),
)
"""How the charts of a reference stand; the one table of these that is overwritten."""

drift_points = sa.Table(
    "drift_points",
    metadata,
    sa.Column("reference_id", sa.ForeignKey("drift_references.reference_id"), primary_key=True),
    sa.Column("chart", sa.String(160), primary_key=True),
    sa.Column("direction", sa.String(4), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("statistic", sa.Float, nullable=False),
    sa.Column("threshold", sa.Float, nullable=False),
)

drift_alarms = sa.Table(
    "drift_alarms",
    metadata,
    sa.Column("alarm_id", sa.String(16), primary_key=True),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False, index=True),
    sa.Column("reference_id", sa.ForeignKey("drift_references.reference_id")),
    sa.Column("manufacturer", sa.String(256), nullable=False),
    sa.Column("model_name", sa.String(256), nullable=False),
    sa.Column("software_versions", sa.String(256), nullable=False),
    sa.Column("chart", sa.String(160), nullable=False),
    sa.Column("direction", sa.String(4), nullable=False),
    sa.Column("channel", sa.String(16), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("opened_at", UtcDateTime, nullable=False, index=True),
    sa.Column("confirmed_at", UtcDateTime),
    sa.Column("closed_at", UtcDateTime),
    sa.Column("closed_why", sa.String(64), nullable=False, server_default=""),
    sa.Column("acted_at", UtcDateTime),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("is_event", sa.Boolean, nullable=False),
)

drift_acknowledgements = sa.Table(
    "drift_acknowledgements",
    metadata,
    sa.Column("alarm_id", sa.ForeignKey("drift_alarms.alarm_id"), primary_key=True),
    sa.Column("at", UtcDateTime, primary_key=True),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("cause", sa.String(16), nullable=False, server_default="unknown"),
)

constancy_records = sa.Table(
    "constancy_records",
    metadata,
    sa.Column("record_id", sa.String(16), primary_key=True),
    sa.Column("protocol", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
"""`digest` seals `content`, and is written into the audit trail with it."""

constancy_runs = sa.Table(
    "constancy_runs",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("protocol", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("record_id", sa.ForeignKey("constancy_records.record_id")),
    sa.Column("started_at", UtcDateTime, nullable=False, index=True),
    sa.Column("started_by", sa.String(64), nullable=False),
    sa.Column("alive_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
)
"""`alive_at` is when its process last said that it goes on."""

constancy_results = sa.Table(
    "constancy_results",
    metadata,
    sa.Column("run_id", sa.ForeignKey("constancy_runs.run_id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("case", sa.String(64), nullable=False),
    sa.Column("quantity", sa.String(256), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("expected", sa.Float),
    sa.Column("tolerance", sa.Float),
    sa.Column("said", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
)

constancy_studies = sa.Table(
    "constancy_studies",
    metadata,
    sa.Column("study_id", sa.String(64), primary_key=True),
    sa.Column("run_id", sa.ForeignKey("constancy_runs.run_id"), nullable=False),
    sa.Column("case", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""What was announced and may lie in the archive; a row goes when its study has been removed."""

acceptance_reports = sa.Table(
    "acceptance_reports",
    metadata,
    sa.Column("report_id", sa.String(32), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("json", sa.Text, nullable=False),
    sa.Column("pdf", sa.LargeBinary, nullable=False),
)
