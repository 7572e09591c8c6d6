"""Frozen settings from TOML. Light: also imported inside Orthanc."""

from clic_edge.config.destination import (
    Commitment,
    DestinationProfile,
    destination_profile,
    kinds_for,
    kinds_of,
    profile_path,
)
from clic_edge.config.notify import Email, Notify, Syslog, Webhook
from clic_edge.config.pipeline import (
    Acceptance,
    Completeness,
    Pipeline,
    VolumeChoices,
    cross_check,
    load_pipelines,
)
from clic_edge.config.rule import Bounds, Pattern, Rule
from clic_edge.config.runtimes import ModelServer, Runtimes
from clic_edge.config.secrets import read_secret
from clic_edge.config.settings import (
    Destination,
    DicomwebDestination,
    DimseDestination,
    FolderDestination,
    Settings,
    load_settings,
)

__all__ = [
    "Acceptance",
    "Bounds",
    "Commitment",
    "Completeness",
    "Destination",
    "DestinationProfile",
    "DicomwebDestination",
    "DimseDestination",
    "Email",
    "FolderDestination",
    "ModelServer",
    "Notify",
    "Pattern",
    "Pipeline",
    "Rule",
    "Runtimes",
    "Settings",
    "Syslog",
    "VolumeChoices",
    "Webhook",
    "cross_check",
    "destination_profile",
    "kinds_for",
    "kinds_of",
    "load_pipelines",
    "load_settings",
    "profile_path",
    "read_secret",
]
