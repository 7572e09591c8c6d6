"""Orthanc loads this file: ``"PythonScript": "…/orthanc-plugins/clic_edge.py"``.

``PYTHONPATH`` in Orthanc's environment leads to the package, and Orthanc's configuration to the
settings: ``{"ClicEdge": {"Settings": "/etc/clic-edge/clic-edge.toml"}}``.

Orthanc imports this file under the very name of the package, so it steps aside first: the import
system then finds the package, and what is registered lives on in Orthanc.
"""

import importlib
import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _here]
del sys.modules[__name__]
importlib.import_module("clic_edge.plugin").register(importlib.import_module("orthanc"))
