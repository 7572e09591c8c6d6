"""Frozen settings from TOML. Light: also imported inside Orthanc."""

from clic_edge.config.pipeline import (
    Completeness,
    Pipeline,
    VolumeChoices,
    cross_check,
    load_pipelines,
)
from clic_edge.config.rule import Bounds, Pattern, Rule
from clic_edge.config.settings import (
    Destination,
    DicomwebDestination,
    DimseDestination,
    FolderDestination,
    Settings,
    load_settings,
    read_secret,
)

__all__ = [
    "Bounds",
    "Completeness",
    "Destination",
    "DicomwebDestination",
    "DimseDestination",
    "FolderDestination",
    "Pattern",
    "Pipeline",
    "Rule",
    "Settings",
    "VolumeChoices",
    "cross_check",
    "load_pipelines",
    "load_settings",
    "read_secret",
]
