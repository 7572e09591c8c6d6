"""How much may wait, and what happens to images that come then."""

from typing import Annotated, Literal

from pydantic import Field

from clic_edge.config.toml import Strict


class Intake(Strict):
    """Back-pressure of the queue; that of the disk is Orthanc's `ReserveMegabytes`."""

    full_at_cases: Annotated[int, Field(ge=0)] = 5000
    """Open cases, those of the least urgent pipelines left out, with which the queue is full; 0 for never."""
    full_after_hours: Annotated[float, Field(ge=0)] = 24.0
    """How long a case may wait for its first turn until the queue is full; 0 for ever."""
    when_full: Literal["take", "refuse"] = "take"
    """Whether images of new studies are taken all the same, or turned away with 0xA700."""
