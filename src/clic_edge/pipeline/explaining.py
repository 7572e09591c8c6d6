"""Why a case waits, was refused or is held, in the language of who asks."""

from __future__ import annotations

from clic_edge.results.meanings import meaning_of


def explained(code: str, reason: str, language: str) -> str:
    """Return a reason as results tell it: the sentence of its code, and the numbers behind it.

    In English, and where the language has no sentence for the code, the reason itself.
    """
    general = meaning_of("refusal", code, language=language, otherwise="")
    return f"{general} ({reason})" if general else reason
