"""PS3.15 Annex E: what may be seen of a series without knowing whose it is.

`deidentify` is the only way from `Series` to `CleanSeries`.
"""

from __future__ import annotations

from clic_edge.deid.deidentify import deidentify
from clic_edge.deid.keys import DeidKey, create_key, load_key
from clic_edge.deid.profile import BASIC, Profile, load_profile
from clic_edge.deid.series_certificate import certified

__all__ = [
    "BASIC",
    "DeidKey",
    "Profile",
    "certified",
    "create_key",
    "deidentify",
    "load_key",
    "load_profile",
]
