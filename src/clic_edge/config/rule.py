"""Routing rules as the pipeline files spell them; `pipeline.routing` evaluates them."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import (
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, SchemaError

from clic_edge.config.toml import Several, Strict


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that is searched for, whatever the case of the letters.

    It is run by Rust's engine, which takes time proportional to the text: Python's would let
    ``(a+)+$`` hang the archive on a description of 64 letters.
    """

    source: str
    _engine: TypeAdapter[str] = field(repr=False, compare=False)

    def found_in(self, text: str) -> bool:
        """Whether some part of the text matches."""
        try:
            self._engine.validate_python(text)
        except ValidationError:
            return False
        return True


def _pattern(source: object) -> Pattern:
    if not isinstance(source, str) or not source:
        raise PydanticCustomError("pattern", "should be a regular expression in quotes")
    try:
        re.compile(source)  # its messages are better, and it says where
        return Pattern(
            source, TypeAdapter(Annotated[str, StringConstraints(pattern=f"(?i){source}")])
        )
    except re.error as error:
        at = "" if error.pos is None else f" at character {error.pos + 1}"
        reason = f"{error.msg}{at}"
    except SchemaError as error:
        reason = str(error).rpartition("error: ")[2]
    raise PydanticCustomError(
        "pattern", "is not a regular expression: {reason}", {"reason": reason}
    )


class Bounds(Strict):
    """A closed interval with at least one end."""

    min: Annotated[float, Field(ge=0)] | None = None
    """The least that is taken."""
    max: Annotated[float, Field(ge=0)] | None = None
    """The most that is taken."""

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.min is None and self.max is None:
            raise PydanticCustomError("bounds", "should have 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("bounds", "'min' should not be more than 'max'")
        return self


Regex = Annotated[Pattern, PlainValidator(_pattern)]
CodeString = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]
"""PS3.5 6.2, VR CS."""


class Rule(Strict):
    """A table of conditions; it holds for a series when each of its keys holds."""

    modality: Several[CodeString] | None = None
    """Modality (0008,0060) is one of these."""
    body_part: Several[CodeString] | None = None
    """Body Part Examined (0018,0015) is one of these."""
    series_description: Regex | None = None
    """Series Description (0008,103E) contains a match of this regular expression."""
    image_type: Several[CodeString] | None = None
    """Image Type (0008,0008) has all of these among its values."""
    image_type_absent: Several[CodeString] | None = None
    """Image Type (0008,0008) has none of these among its values."""
    instances: Bounds | None = None
    """The number of instances that have arrived lies between `min` and `max`."""
    slice_thickness_mm: Bounds | None = None
    """Slice Thickness (0018,0050) lies between `min` and `max`."""
    manufacturer: Regex | None = None
    """Manufacturer (0008,0070) contains a match of this regular expression."""
    called_ae_title: Several[str] | None = None
    """The sender called us by one of these."""
    calling_ae_title: Several[str] | None = None
    """The sender calls itself one of these."""
    all_of: Several["Rule"] | None = Field(None, alias="all")
    """Every one of these rules holds."""
    any_of: Several["Rule"] | None = Field(None, alias="any")
    """At least one of these rules holds."""
    negated: "Rule | None" = Field(None, alias="not")
    """This rule does not hold."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "is empty: it should have at least one condition")
        return self
