"""One test over many cases: each is looked at, and those that fail are named.

A parametrised test costs milliseconds before it begins, many times what a row of a table takes.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def every(
    cases: Iterable[object], named: Callable[..., str] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let one test look at every case, which it takes first; its fixtures follow.

    Fixtures are made once, not for each case.
    """
    listed = list(cases)

    def of_each(rule: Callable[..., None]) -> Callable[..., None]:
        def test(**fixtures: object) -> None:
            assert listed, "there are no cases"
            failed: dict[str, BaseException] = {}
            for case in listed:
                try:
                    rule(case, **fixtures)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - told below
                    failed[named(case)] = error
            if failed:
                told = f"{len(failed)} of {len(listed)} cases: {', '.join(failed)}"
                raise BaseExceptionGroup(told, [*failed.values()])

        signature = inspect.signature(rule)
        _, *fixtures = signature.parameters.values()
        test.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined] # pytest reads it
        test.__name__, test.__doc__, test.__module__ = rule.__name__, rule.__doc__, rule.__module__
        return test

    return of_each
