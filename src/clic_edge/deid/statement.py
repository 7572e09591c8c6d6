"""The conformance statement of a profile, in words: what a data protection officer asks for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from clic_edge import __version__
from clic_edge.deid.sop_classes import SOP_CLASSES
from clic_edge.deid.standard import EDITION, confidentiality_rows, method_codes, option_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.deid.profile import Profile

_ACTIONS = {
    "X": "removed",
    "Z": "emptied, or given a stand-in",
    "D": "given a stand-in",
    "U": "UID replaced by a keyed one",
    "K": "kept",
    "C": "cleaned",
}
_PIXELS = {
    "refuse": "Images whose pixels may show text are not released.",
    "redact": "Text-like areas are blanked in images of kinds that may show text; where the second"
    " look is unsure, the image is not released.",
    "redact-all": "Text-like areas are blanked in every image; where the second look is unsure, the"
    " image is not released.",
    "keep": "Pixels stay as they are, whatever they show: text, a face, an eye. Models on the"
    " appliance see them; nothing is released by this profile.",
}
_FACES = {
    "ignore": "Heads that could be rendered to a face are not looked for.",
    "hold": "CT and MR of a head that could be rendered to a face are not released.",
    "deface": "Face and ears are cut from CT and MR of a head that could be rendered to a face, at a"
    " distance from the brain; only such instances say so, by code 113102. Where head, brain or"
    " front are not found for sure, or a second look still finds a face, the series is not"
    " released.",
}


def statement(profile: Profile) -> str:
    """Return the statement as Markdown; it follows from the profile and the tables alone."""
    return "\n".join(_lines(profile)) + "\n"


def _lines(profile: Profile) -> Iterator[str]:
    codes = dict(method_codes())
    yield f"# De-identification with the profile {profile.name}"
    yield ""
    yield f"clic-edge {__version__}; {EDITION}; policy {profile.digest}."
    yield ""
    yield "## What is claimed"
    yield ""
    basic = codes["basic"]
    yield f"- {basic.meaning} ({basic.value}, {basic.scheme})"
    for option in sorted(profile.options):
        code = codes.get(option)
        named = f"{code.meaning} ({code.value}, {code.scheme})" if code else option
        cells = sum(option in dict(row.options) for row in confidentiality_rows())
        yield f"- {named}: its column decides {cells} rows"
    left = [name.replace("_", " ") for name in option_names() if name not in profile.options]
    yield ""
    yield f"Options not applied: {', '.join(left) or 'none'}."
    yield from ("", "## What happens to attributes", "")
    for action, count in _counts(profile).items():
        yield f"- {count} rows of Table E.1-1: {action}"
    yield "- attributes that no row names: numbers, coded terms and mapped UIDs stay; text, persons"
    yield "  and dates do not"
    yield "- private attributes: removed, but for those that an option above keeps"
    yield from ("", "## Pixels and faces", "", _PIXELS[profile.pixels], _FACES[profile.faces])
    yield from ("", "## Keys", "")
    yield "UIDs, subject labels and date shifts are HMAC-SHA-256 under the site's key: the same"
    yield "source gives the same stand-in, and without the key none leads back."
    yield from ("", "## What is proved of each file before it has a name", "")
    yield "- no value that was removed is found in its bytes, in any usual encoding"
    yield "- every attribute is what its rule says, by a second reading"
    yield "- what the disk holds is what was proved"
    yield ""
    yield f"Objects of {len(SOP_CLASSES)} SOP classes are released; all others, among them private"
    yield "classes, encapsulated documents and video, are held in quarantine with a reason."


def _counts(profile: Profile) -> dict[str, int]:
    """Return how many rows have which action, by the first letter of the code that decides."""
    counts: Counter[str] = Counter()
    for row in confidentiality_rows():
        chosen = [code for option, code in row.options if option in profile.options]
        code = next((code for code in chosen if code == "C"), next(iter(chosen), row.basic_profile))
        counts[_ACTIONS[code[0]] if "U" not in code else _ACTIONS["U"]] += 1
    return dict(counts.most_common())
