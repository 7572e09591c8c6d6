"""What a browser or a program asks of the list of cases: checked here, once, for both."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from clic_edge.board.cases import CURSOR, LARGEST_PAGE
from clic_edge.domain.case import CaseState
from clic_edge.ledger.search import Wanted
from clic_edge.web.fields import YEAR, Day, Words

LARGEST_SAMPLE: Final = 100
LARGEST_SEED: Final = 2**31 - 1
_HOUR: Final = timedelta(hours=1)


def _hour(at: datetime) -> datetime:
    """Return the hour of a moment; one without a time zone is UTC, as the pages write it."""
    if not 2000 <= at.year < 2200:  # noqa: PLR2004 - as days
        message = "no such year"
        raise ValueError(message)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.replace(minute=0, second=0, microsecond=0)


class Asked(BaseModel):
    """A list of cases; the URL of a page is made of the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Annotated[tuple[CaseState, ...], Field(max_length=len(CaseState))] = ()
    pipeline: Words = ""
    model: Words = ""
    """Identifier of a model that has a prediction of the case, in the shadow too."""
    manufacturer: Words = ""
    scanner: Words = ""
    software: Words = ""
    since: Day | None = None
    """Received on this day or later (UTC)."""
    until: Day | None = None
    """Received on this day or earlier (UTC)."""
    hour: (
        Annotated[datetime, AfterValidator(_hour), Field(json_schema_extra={"pattern": YEAR})]
        | None
    ) = None
    """Received in this hour; `since` and `until` do not count then."""
    code: Words = ""
    text: Words = ""
    """Beginning of a case's identifier, or a subject's pseudonym."""
    after: Annotated[str, Field(pattern=CURSOR)] | None = None
    """Cursor of an earlier page."""
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50
    sample: Annotated[int, Field(ge=1, le=LARGEST_SAMPLE)] | None = None
    """Draw so many at random in place of a page."""
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    """Of the sample: the same seed on the same cases gives the same."""

    @property
    def wanted(self) -> Wanted:
        """Which cases these are."""
        since, until = _begin(self.since), _begin(self.until)
        return Wanted(
            states=self.state,
            pipeline=self.pipeline.strip(),
            model=self.model.strip(),
            manufacturer=self.manufacturer.strip(),
            scanner=self.scanner.strip(),
            software=self.software.strip(),
            since=self.hour or since,
            until=self.hour + _HOUR if self.hour else until and until + timedelta(days=1),
            code=self.code.strip(),
            text=self.text.strip(),
        )

    def link(self, **other: object) -> str:
        """Return where the same is asked, with other values for some of it."""
        said = self.model_dump(mode="json", exclude_defaults=True) | other
        return f"/cases?{urlencode({k: v for k, v in said.items() if v}, doseq=True)}"


def asked(values: Mapping[str, list[str]]) -> Asked | None:
    """Return what a form asks, whose empty fields say nothing; None where it can't be understood."""
    said = {name: [one for one in given if one] for name, given in values.items()}
    plain = {name: given if name == "state" else given[-1] for name, given in said.items() if given}
    try:
        return Asked.model_validate(plain)
    except ValidationError:
        return None


def _begin(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None
