"""What asks for all memory gets little, and ends by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ATTACKS = Path(__file__).resolve().parent.parent / "attacks.py"
ENDS = {
    "deflate, identity": "nothing",
    "deflate, header": "nothing",
    "deflate, stage": "unreadable-instance",
    "items, header": "values",
    "items without lengths, header": "values",
    "items, stage": "unreadable-instance",
    "recursion, header": "nothing",
    "recursion, stage": "unreadable-instance",
    "recursion, private": "unreadable-instance",
    "recursion, worklist": "order-unreadable",
    "recursion, TOML": "not-toml",
    "recursion, package": "model-declaration",
    "a length that lies": "unreadable-instance",
    "a million values": "nothing",
    "rows and columns": "pixels-too-large",
    "rows, columns and frames": "several-frames",
    "JPEG 2000, large": "pixels-too-large",
    "JPEG 2000, components": "undecodable-pixels",
    "JPEG 2000, other size": "undecodable-pixels",
    "JPEG-LS, other size": "undecodable-pixels",
    "RLE, large": "pixels-too-large",
    "photograph": "photograph-unreadable",
    "a pipe": "unreadable-file",
}
"""``nothing``: no header that can be read; ``values``: one that can."""


@pytest.mark.slow
def test_every_attack_ends_by_name_within_little_memory() -> None:
    told = subprocess.run(
        [sys.executable, str(ATTACKS)], check=True, capture_output=True, text=True
    )
    assert json.loads(told.stdout) == ENDS
