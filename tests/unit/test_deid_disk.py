"""Pixels stay off the disk: the line on a folder writes results, and nothing else anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sites import ROOT, hippocampus_study

WATCHED = """\
import sys
written = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode, flags = arguments
        if flags & 3:
            written.append(path if isinstance(path, str) else path.decode())
sys.addaudithook(watch)
from clic_edge.cli import app
try:
    app(sys.argv[1:])
finally:
    sys.stdout.write("\\n".join(["", "WRITTEN", *written]))
"""


@pytest.mark.slow
def test_the_line_writes_its_results_and_no_image(tmp_path: Path) -> None:
    study, scratch, out = (tmp_path / name for name in ("study", "scratch", "out"))
    for folder in (study, scratch):
        folder.mkdir()
    for number, ds in enumerate(hippocampus_study(1)):
        ds.save_as(study / f"{number}.dcm", enforce_file_format=True)
    settings = tmp_path / "clic-edge.toml"
    settings.write_text(
        f'[appliance]\nstate_dir = "{tmp_path / "state"}"\nmodels = "{ROOT}/models"\nmodel_keys = "{ROOT}/configs/model-keys"\n'
        f'pipelines = "{ROOT}/configs/pipelines"\ndeid_profiles = "{ROOT}/configs/deid"\n'
    )
    words = ["-c", settings, "run", study, "--pipeline", "hippocampus", "--out", out]
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd=scratch,
        env=os.environ
        | {"TMPDIR": str(scratch), "HOME": str(scratch), "PYTHONPATH": f"{ROOT}/src"},
    )
    assert done.returncode == 0, done.stderr
    shown, _, written = done.stdout.partition("WRITTEN\n")
    assert "delivered" in shown
    places = {Path(path) for path in written.splitlines()}
    assert places
    assert {path for path in places if out not in path.parents} <= {Path(os.devnull)}
    kinds = {path.name.split("-")[0] for path in out.iterdir()}
    assert kinds == {"SEG", "SR", "SUMMARY", "report.json"}
    assert list(scratch.rglob("*")) == []
