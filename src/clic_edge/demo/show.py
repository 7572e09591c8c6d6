"""The demo: send a study from a hospital's PACS, watch it go through, look at what came back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
from rich.live import Live
from rich.table import Table

from clic_edge.app import Appliance
from clic_edge.cli.console import STYLES, note, stdout, table
from clic_edge.demo.overlay import draw_overlays
from clic_edge.demo.site import running_site
from clic_edge.demo.study import make_demo_study
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError, Defect

if TYPE_CHECKING:
    from clic_edge.demo.site import Site
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger
    from clic_edge.pipeline.status import StudyStatus

_PATIENCE_SECONDS = 100
_STAGES = ("accept", "predict", "write", "deliver", "finish")
