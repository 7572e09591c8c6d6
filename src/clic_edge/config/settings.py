"""What one appliance needs to know: `configs/clic-edge.toml`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clic_edge.config.intake import Intake
from clic_edge.config.notify import Notify
from clic_edge.config.openid import OpenId
from clic_edge.config.receiving import Orthanc, Senders
from clic_edge.config.runtimes import Runtimes
from clic_edge.config.toml import (
    RelativePath,
    Strict,
    WebAddress,
    absolute,
    both_or_neither,
    read_toml,
)

_FEWEST_AUDIT_MONTHS = 6
"""Regulation (EU) 2024/1689, Article 26(6), of the logs of high-risk systems."""
Port = Annotated[int, Field(ge=1, le=65535)]
AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~]+$")]
"""PS3.5 6.2, VR AE; without spaces, which no one can see in a form."""


def _database_address(url: str) -> str:
    if not url.startswith(("sqlite:///", "postgresql")):
        raise PydanticCustomError("url", "should begin with 'sqlite:///' or 'postgresql'")
    parts = urlsplit(url)
    if parts.password or parse_qs(parts.query).keys() & {"password", "sslpassword"}:
        advice = "holds a password; put it in a file and append '?passfile=/path/of/pgpass'"
        raise PydanticCustomError("secret", advice)
    return url


def _profile(named: str | None, info: ValidationInfo) -> str | None:
    if named is None or not named.endswith(".toml"):
        return named
    return str(absolute(Path(named), info))


ProfileName = Annotated[str | None, AfterValidator(_profile)]
"""A file in `appliance.destination_profiles`, without `.toml`; or, with `.toml`, a path."""


class Appliance(Strict):
    """Where the appliance keeps what."""

    name: str = Field(default="clic-edge", min_length=1, max_length=64)
    """Tells appliances of one site apart, e.g. in Contributing Equipment."""
    state_dir: RelativePath = Path("/var/lib/clic-edge")
    """Folder of what the appliance remembers; back this up."""
    database: Annotated[str, AfterValidator(_database_address)] = Field(
        default_factory=lambda known: f"sqlite:///{known['state_dir'] / 'clic-edge.sqlite'}",
    )
    """SQLAlchemy URL of ledger and queue; default a SQLite file in `state_dir`."""
    deid_key: RelativePath = Field(default_factory=lambda known: known["state_dir"] / "deid.key")
    """File with the site's secret key for pseudonyms; default `deid.key` in `state_dir`."""
    language: Literal["en", "da"] = "en"
    """Of code meanings and sentences in the results: English or Danish."""
    crosswalk_days: Annotated[int, Field(ge=0)] = 0
    """Days until the sealed way back of an exported cohort expires; 0 keeps none."""
    pipelines: RelativePath = Path("pipelines")
    """Folder with one TOML file for each pipeline."""
    models: RelativePath = Path("../models")
    """Folder with one model package in each subfolder."""
    model_keys: RelativePath = Path("model-keys")
    """Folder with the public key of each signer of model packages that the site trusts."""
    unsigned_models: bool = False
    """Whether packages run that nobody signed: for development, never on a site."""
    model_states: Literal["configured", "accepted"] = "configured"
    """Who makes a model active: the pipeline's file, or only a person with an acceptance report."""
    deid_profiles: RelativePath = Path("deid")
    """Folder with one TOML file for each de-identification profile."""
    destination_profiles: RelativePath = Path("destinations")
    """Folder with one TOML file for each destination profile."""

    @property
    def crosswalks(self) -> Path:
        """Folder of the sealed ways back of cohorts."""
        return self.state_dir / "crosswalks"

    @property
    def phantoms(self) -> Path:
        """Folder to which results of constancy studies are delivered, and taken from again."""
        return self.state_dir / "phantoms"


class Worker(Strict):
    """How the worker works through the cases."""

    concurrent_cases: PositiveInt = 2
    """Cases at a time; the model itself still runs one case at a time."""
    case_seconds: Annotated[float, Field(ge=0)] = 1800.0
    """How long a model may take on one volume or image before it is ended; 0 for as it likes."""
    lost_after_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long a worker may be silent until others take its cases over."""
    reconcile_seconds: PositiveFloat = 60.0
    """How often Orthanc's list of changes is read for what an event missed."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of /metrics on 127.0.0.1; 0 for none."""
    give_up_after_days: PositiveFloat = 14.0
    """How long a case that can't be finished is tried again before a person is asked."""
    first_retry_seconds: PositiveFloat = 30.0
    """Wait before the first retry; doubled for each that follows."""
    longest_retry_seconds: PositiveFloat = 3600.0
    """The doubling ends here."""

    @model_validator(mode="after")
    def _waits_do_not_shrink(self) -> Self:
        if self.longest_retry_seconds < self.first_retry_seconds:
            advice = "'longest_retry_seconds' should not be less than 'first_retry_seconds'"
            raise PydanticCustomError("order", advice)
        return self


class Web(Strict):
    """The appliance's pages, and the viewer."""

    host: Annotated[str, Field(pattern=r"^[^:]+$")] = "127.0.0.1"
    """Name or IPv4 address to listen on."""
    port: Port = 8043
    """Port to listen on."""
    names: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Host names that a browser may ask for, beside `localhost`, those of `host` and `url`, and those
    that `certificate` is made out to; a wildcard there is none."""
    url: WebAddress | None = None
    """What readers' browsers reach these pages by; with it, results carry a link to assess them."""
    certificate: RelativePath | None = None
    """PEM file of the pages' TLS certificate and what is between it and its root."""
    certificate_key: RelativePath | None = None
    """PEM file of its private key, without a password."""
    behind_proxy: bool = False
    """Whether a reverse proxy that brings TLS stands in front, and says where browsers are."""
    trusted_proxies: Annotated[tuple[str, ...], Field(strict=False)] = ("127.0.0.1", "::1")
    """Addresses of proxies, or networks, whose word for a browser's address is taken."""
    key_file: RelativePath | None = None
    """Their part of the site's key, of `clic-edge deid page-key`; without it they read the whole."""
    openid: OpenId | None = None
    """The site's own accounts."""
    session_idle_minutes: PositiveFloat = 60.0
    """Minutes without a request after which a browser has to log in again."""
    session_hours: PositiveFloat = 12.0
    """Hours after which it has to, however much it asks."""
    viewer: RelativePath = Path("/var/lib/clic-edge/viewer")
    """Folder of the viewer's files; `clic-edge viewer install` fills it."""

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        return both_or_neither(self, "certificate", "certificate_key")


Answer = Literal["warn", "shadow", "suspend"]


class StopRules(Strict):
    """What a confirmed alarm does to the model, by what moved."""

    acquisition: Answer = "warn"
    """How the images were made, and of whom."""
    image: Answer = "warn"
    """What the images look like."""
    output: Answer = "warn"
    """What the model finds."""
    whole: Answer = "warn"
    """How whole studies lie among those of the reference."""
    timing: Answer = "warn"
    """How long it takes."""
    rates: Answer = "warn"
    """How often series are refused, failed or overridden."""
    readers: Answer = "warn"
    """How far readers' own segments are from the model's."""


class Constancy(Strict):
    """The sets of phantoms that show whether a model still says what it said."""

    protocols: RelativePath = Path("constancy")
    """Folder with one TOML file for each protocol."""
    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """When the worker runs what is due, by the machine's clock, e.g. `"03:30"`; none by default."""
    on_failure: Answer = "warn"
    """What a failure does to the active model."""
    give_way_minutes: Annotated[float, Field(ge=0)] = 60.0
    """How long a study waits for patients' cases to be done before it is sent all the same."""
    case_minutes: PositiveFloat = 30.0
    """How long a study may be on its way through the chain."""


class Accounting(Strict):
    """The account of each day, held against the archive and the destinations."""

    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """When the worker makes yesterday's, by the machine's clock, e.g. `"05:00"`; none by default."""
    leave_out: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Destinations that do not answer what they hold, and are not asked."""


class Monitoring(Strict):
    """The monitor's charts, and what their alarms do."""

    every_minutes: Annotated[float, Field(ge=0)] = 10.0
    """How often the worker charts what came; 0 leaves it to `clic-edge drift evaluate`."""
    false_alarms_per_year: PositiveFloat = 12.0
    """Of all charts of one reference together; no chart has more than one a year."""
    smallest_group: PositiveInt = 30
    """Studies; of a smaller subgroup nothing is said."""
    stop: StopRules = Field(default_factory=StopRules)


def _half_a_year(months: int) -> int:
    if 0 < months < _FEWEST_AUDIT_MONTHS:
        advice = f"should be 0, for ever, or at least {_FEWEST_AUDIT_MONTHS}"
        raise PydanticCustomError("retention", advice)
    return months


class Retention(Strict):
    """How long what is kept in the ledger; 0 is for ever. The worker prunes each night."""

    features_months: Annotated[int, Field(ge=0)] = 0
    """Of the features of predictions; their days stay."""
    masks_days: Annotated[int, Field(ge=0)] = 90
    """Of masks of cases that ended without delivery; a delivered case has none."""
    audit_months: Annotated[int, Field(ge=0), AfterValidator(_half_a_year)] = 0
    """Of the audit trail; at least 6 where it is not for ever."""


class Limits(Strict):
    """How much one study may ask of the appliance; what asks for more is refused by name."""

    study_series: PositiveInt = 1000
    """Series of a study that are looked at."""
    series_instances: PositiveInt = 20_000
    """Instances of a series that are fetched."""
    series_mib: PositiveInt = 4096
    """MiB of a series that are fetched: it is in memory three times before a model sees it."""


class Retraining(Strict):
    """Learning from what readers said of results."""

    allowed: bool = False
    """Whether cases of this site may become training cases: its own decision, and its patients'."""
    accepted_masks: bool = False
    """Whether what the model drew counts as truth where a reader only accepted it."""
    deid_profile: str = Field(default="research", min_length=1)
    """De-identification profile under which the images leave."""
    opt_out: RelativePath | None = None
    """Text file with the pseudonym of a subject on each line who is never taken."""


class DestinationTls(Strict):
    """DICOM TLS to a PACS (PS3.15 B.12)."""

    ca: RelativePath
    """PEM file of who is trusted to certify the PACS."""
    certificate: RelativePath | None = None
    """PEM file of our own certificate, for a PACS that asks for one; and for its reports."""
    key: RelativePath | None = None
    """PEM file of its private key, without a password, for the worker alone."""
    hostname: str | None = Field(default=None, pattern=r"^[^.\s][^\s]*$")
    """Name or address that the PACS's certificate has to bear; default the destination's host."""

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        return both_or_neither(self, "certificate", "key")


class DimseDestination(Strict):
    """A PACS that takes results by C-STORE."""

    kind: Literal["dimse"]
    """`dimse`"""
    host: str = Field(min_length=1)
    """Name or address."""
    port: Port
    """Usually 104 or 11112."""
    called_ae_title: AETitle
    """What the PACS calls itself."""
    calling_ae_title: AETitle = "CLICEDGE"
    """What the PACS knows us as."""
    timeout_s: PositiveFloat = 30.0
    """Seconds to wait for a connection and for each answer."""
    tls: DestinationTls | None = None
    """TLS of every association with it; without it, DICOM goes in the clear."""
    profile: ProfileName = None
    """What it takes: the name of a profile, or a path; by default SEG, SR and summary."""


class DicomwebDestination(Strict):
    """A PACS that takes results by STOW-RS."""

    kind: Literal["dicomweb"]
    """`dicomweb`"""
    url: WebAddress
    """Root of the DICOMweb services, e.g. `https://pacs.example/dicom-web`."""
    username: str = ""
    """Empty when the PACS asks for none."""
    password_file: RelativePath | None = None
    """File whose first line is the password."""
    timeout_s: PositiveFloat = 30.0
    """Seconds to wait for an answer."""
    profile: ProfileName = None
    """What it takes: the name of a profile, or a path; by default SEG, SR and summary."""

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> Self:
        return both_or_neither(self, "username", "password_file")


class FolderDestination(Strict):
    """A folder that results are written to."""

    kind: Literal["folder"]
    """`folder`"""
    path: RelativePath
    """Made when it does not exist."""
    profile: ProfileName = None
    """What it takes: the name of a profile, or a path; by default SEG, SR and summary."""


Destination = DimseDestination | DicomwebDestination | FolderDestination


class Settings(Strict):
    """One appliance."""

    appliance: Appliance = Field(default_factory=Appliance)
    orthanc: Orthanc = Field(default_factory=Orthanc)
    senders: Senders = Field(default_factory=Senders)
    intake: Intake = Field(default_factory=Intake)
    worker: Worker = Field(default_factory=Worker)
    web: Web = Field(default_factory=Web)
    runtimes: Runtimes = Field(default_factory=Runtimes)
    monitoring: Monitoring = Field(default_factory=Monitoring)
    constancy: Constancy = Field(default_factory=Constancy)
    accounting: Accounting = Field(default_factory=Accounting)
    notify: Notify = Field(default_factory=Notify)
    retention: Retention = Field(default_factory=Retention)
    limits: Limits = Field(default_factory=Limits)
    retraining: Retraining = Field(default_factory=Retraining)
    destinations: Annotated[
        Mapping[str, Annotated[Destination, Field(discriminator="kind")]],
        AfterValidator(MappingProxyType),
    ] = Field(default_factory=dict)
    """By name; read-only."""

    @model_validator(mode="before")
    @classmethod
    def _a_table_left_out_is_empty(cls, content: object) -> object:
        # A ready-made default would not see the file's folder, from which its paths start.
        empty: dict[str, object] = {"appliance": {}, "constancy": {}}
        return empty | content if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _phantoms_are_let_in(self) -> Self:
        if self.constancy.at and self.orthanc.tls and not self.orthanc.tls.lets_worker_in:
            advice = (
                "'constancy.at' has the worker send phantoms: 'orthanc.tls.worker_certificate' "
                "is missing, as 'orthanc.tls.senders' is \"certified\""
            )
            raise PydanticCustomError("certificate", advice)
        return self


def load_settings(path: Path) -> Settings:
    """Return the settings in a TOML file, its relative paths made absolute.

    Raises ConfigError as `read_toml` does.
    """
    return read_toml(Settings, path)
