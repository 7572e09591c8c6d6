"""What may stand in a field of a form, a query or a body: said once, for pages and programs."""

from datetime import date
from typing import Annotated

from pydantic import Field

ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
"""No control characters: PostgreSQL takes no zero byte, and a page no other of these."""
_IN_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
LINES = rf"^{_IN_TEXT}*$"
"""The same with tabs and ends of lines."""
SAID = rf"^{_IN_TEXT}*[^\s\x00-\x1f\x7f]{_IN_TEXT}*$"
"""The same, where something has to be said."""
Line = Annotated[str, Field(max_length=1000, pattern=ONE_LINE)]
"""What fits on a line."""
Words = Annotated[str, Field(max_length=256, pattern=ONE_LINE)]
"""A name, or the beginning of one."""
YEAR = "^2[01][0-9]{2}-"
"""How a moment begins that a site may speak of: a description of an API can't bound it else."""
Day = Annotated[
    date,
    Field(ge=date(2000, 1, 1), le=date(2199, 12, 31), json_schema_extra={"pattern": YEAR}),
]
"""A day that a site may speak of."""
