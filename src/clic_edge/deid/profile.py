"""Profiles: which columns of PS3.15 Table E.1-1 apply; one TOML file in ``configs/deid/`` each."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeVar

from clic_edge.deid.options import check_conflicts
from clic_edge.deid.standard import EDITION, option_names
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PixelTreatment = Literal["refuse", "redact", "redact-all", "keep"]
"""Pixels that may show text: refused; looked at and blanked; the same for every image there is; or
kept as they are, which is for models on the appliance and never for what leaves it."""
FaceTreatment = Literal["ignore", "hold", "deface"]
"""Heads that could be rendered to a face: let through where pixels stay on the appliance; held; or
defaced, and held where that can't be done for sure."""

PIXEL_TREATMENTS: tuple[PixelTreatment, ...] = ("refuse", "redact", "redact-all", "keep")
FACE_TREATMENTS: tuple[FaceTreatment, ...] = ("ignore", "hold", "deface")
_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The Basic Profile and the options on top of it."""

    name: str
    options: frozenset[str] = frozenset()
    """Option columns of Table E.1-1, e.g. ``retain_uids``."""
    pixels: PixelTreatment = "refuse"
    faces: FaceTreatment = "ignore"

    def __post_init__(self) -> None:
        """Refuse options that contradict each other (ConfigError ``conflicting-options``)."""
        check_conflicts(self.options)

    def require_for_release(self) -> None:
        """Return where what the profile makes may leave the appliance.

        Raises ConfigError ``profile-keeps-pixels``.
        """
        if self.pixels == "keep":
            raise ConfigError(
                "profile-keeps-pixels",
                f"The profile {self.name} keeps pixels that may show a name or a face: it is for "
                "models on the appliance, and nothing leaves by it.",
            )

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides what happens, hexadecimal; the name does not count."""
        content = json.dumps(
            {
                "table": EDITION,
                "options": sorted(self.options),
                "pixels": self.pixels,
                "faces": self.faces,
            }
        )
        return hashlib.sha256(content.encode("ascii")).hexdigest()


BASIC = Profile(name="basic")
"""The Basic Application Confidentiality Profile without options: ``configs/deid/basic.toml``."""


def load_profile(path: Path) -> Profile:
    """Return the profile in a TOML file.

    Raises
    ------
    ConfigError
        ``profile-missing``, ``profile-invalid`` (not TOML, or a wrong type), ``unknown-key``,
        ``unknown-option`` or ``conflicting-options``; the sentence names the file, the key and
        the nearest valid one, or the two options.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("profile-missing", f"There is no profile at {path}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("profile-invalid", f"The profile {path} is not valid TOML.") from error
    known = tuple(field.name for field in fields(Profile))
    for key in content:
        if key not in known:
            raise ConfigError("unknown-key", _not_known(path, f"key {key}", _nearest(key, known)))
    name, options = content.get("name"), content.get("options", [])
    if not isinstance(name, str) or not name:
        raise ConfigError("profile-invalid", f"{path}: name must be a word.")
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ConfigError("profile-invalid", f"{path}: options must be a list of words.")
    for option in options:
        _check_option(path, option)
    pixels = _one_of(path, "pixels", content.get("pixels", "refuse"), valid=PIXEL_TREATMENTS)
    faces = _one_of(path, "faces", content.get("faces", "ignore"), valid=FACE_TREATMENTS)
    try:
        return Profile(name=name, options=frozenset(options), pixels=pixels, faces=faces)
    except ConfigError as error:
        raise ConfigError(error.code, f"{path}: {error.sentence}") from error


def _one_of(path: Path, key: str, word: object, *, valid: tuple[_Word, ...]) -> _Word:
    """Return the word of `valid` that a key of the profile is."""
    for known in valid:
        if word == known:
            return known
    nearest = _nearest(str(word), valid)
    raise ConfigError("profile-invalid", _not_known(path, f"{key} {word}", nearest))


def _check_option(path: Path, option: str) -> None:
    if option not in option_names():
        raise ConfigError(
            "unknown-option", _not_known(path, f"option {option}", _nearest(option, option_names()))
        )


def _not_known(path: Path, what: str, nearest: str) -> str:
    return f"{path}: the {what} is not known; the nearest valid one is {nearest}."


def _nearest(word: str, valid: tuple[str, ...]) -> str:
    return get_close_matches(word, valid, n=1, cutoff=0.0)[0]
