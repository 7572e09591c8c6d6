"""A backup that failed is told to people, and not only to who typed the command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ledgers import make_tables
from sites import ROOT
from typer.testing import CliRunner

from clic_edge.app import Appliance
from clic_edge.cli import app
from clic_edge.domain.notice import NoticeKind, Urgency
from clic_edge.errors import Transient
from clic_edge.ledger.notices import ChannelRule

if TYPE_CHECKING:
    from pathlib import Path


def test_a_backup_that_can_not_be_written_is_told_once_a_day(tmp_path: Path) -> None:
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "{tmp_path}"\npipelines = "{ROOT}/configs/pipelines"\n'
        f'models = "{ROOT}/models"\ndeid_profiles = "{ROOT}/configs/deid"\n'
        '[destinations.pacs]\nkind = "folder"\npath = "out"\n'
    )
    appliance = Appliance.open(settings)
    make_tables(appliance.engine)
    (tmp_path / "file").write_text("")
    for _ in range(2):
        order = ["-c", str(settings), "ledger", "backup", str(tmp_path / "file" / "x.backup")]
        result = CliRunner().invoke(app, order)
        assert isinstance(result.exception, Transient), result.exception
    rule = ChannelRule(name="email", at_least=Urgency.INFO, pause=timedelta())
    (told,) = appliance.ledger.notices.take(rule, now=datetime.now(UTC))
    assert (told.notice.kind, told.notice.about) == (NoticeKind.BACKUP_FAILED, "clic-edge")
