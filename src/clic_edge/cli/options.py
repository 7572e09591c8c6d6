"""Commands with many options: one value that holds them, in place of a parameter for each."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

_Options = TypeVar("_Options")


def with_options(
    options: type[_Options],
) -> Callable[[Callable[[_Options], None]], Callable[..., None]]:
    """Return what makes a command of a function: the fields of `options` are its parameters.

    `options` is a dataclass whose annotations are those of typer.
    """

    def as_command(function: Callable[[_Options], None]) -> Callable[..., None]:
        def command(**given: object) -> None:
            function(options(**given))

        asked = inspect.signature(options)
        kinds = get_type_hints(options, include_extras=True)
        parameters = [one.replace(annotation=kinds[one.name]) for one in asked.parameters.values()]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = asked.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect looks for it
        command.__annotations__ = {}
        return command

    return as_command
