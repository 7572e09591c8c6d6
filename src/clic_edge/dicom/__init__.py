"""Datasets to values: reading, volumes, UIDs."""

import logging
import warnings

# pydicom quotes values of the patient's file in its warnings and repeats them in its log. Said
# once for the process, because `warnings.catch_warnings` does not hold between threads.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom\b")
