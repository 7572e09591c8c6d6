"""Models: packages, transforms, runtimes. Sees clean types only."""

import os

# ONNX Runtime from 1.31 on reports use to its maker and writes a device id into the home folder,
# unless this is set before it is imported. Nothing leaves the box.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
