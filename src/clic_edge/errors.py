"""What went wrong, by what happens next.

ClicEdgeError            base of every error that clic-edge raises on purpose
├── Refusal              the input is sound but not ours: the case closes as ``refused``,
│                        with a reason, and the reader is told            (exit code 3)
├── Transient            try again with back-off, for days if need be: the case is
│                        ``waiting``                                      (exit code 4)
├── Defect               something is broken: the case is ``quarantined``, a person
│                        is alerted                                       (exit code 5)
└── ConfigError          the appliance does not start                     (exit code 2)

Every error carries ``code``, a kebab-case word that is counted, filtered and tested on, and a
sentence for people. Both are written to logs and to the ledger: **a sentence never holds a value
that was read from a patient's file**, only numbers, tags, our own names and positions.
Errors of other libraries are translated where they enter, with ``raise … from``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from datetime import timedelta


class ClicEdgeError(Exception):
    """The base: a code that is stable and a sentence that is safe to show and to store."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{sentence} [{code}]")
        self.code = code
        self.sentence = sentence


class Refusal(ClicEdgeError):
    """The input is sound but not ours; the case closes and the reader is told why."""

    exit_code = 3


class Transient(ClicEdgeError):
    """It may work later; `retry_after` says when, where that is known."""

    exit_code = 4

    def __init__(self, code: str, sentence: str, retry_after: timedelta | None = None) -> None:
        super().__init__(code, sentence)
        self.retry_after = retry_after


class Defect(ClicEdgeError):
    """Something is broken; nothing leaves until a person has looked."""

    exit_code = 5


class ConfigError(ClicEdgeError):
    """A setting is wrong; the sentence names the file, the key and the nearest valid one."""

    exit_code = 2
