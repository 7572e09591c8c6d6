"""The residue check: what was taken out of the source must not be found in the output.

Two kinds of tokens. *Identities* (parts of person names, identifiers, dates, UIDs) are searched in
every value of the output but numeric arrays and pixels, in all encodings that text may have.
*Other text* is searched in the text that is kept, and there only inside a longer value: the same
words alone in Manufacturer's Model Name tell of the model. The rules against false alarms:

- fewer than four bytes are not searched; other text needs six, and a digit or a space;
- digits count only where no digit adjoins, five letters or fewer only where no letter adjoins;
- a name that is a word of the DICOM dictionary (``Head``, ``Field``) is searched only beside another;
- dates and telephone numbers are recognised in the output, however they are spelled;
- numbers, pixels and the published codes that `codes` lets through are not searched.
"""

from __future__ import annotations

import itertools
import re
import string
import warnings
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from clic_edge.deid import part10
from clic_edge.deid.clean import Removed, is_registered, uid_values
from clic_edge.deid.codes import CODE_TAGS
from clic_edge.deid.dummies import DUMMIES
from clic_edge.deid.policy import TECHNICAL_TEXT
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from clic_edge.deid.part10 import Element, Part10

IDENTIFIERS = frozenset(
    {
        0x00080050,  # Accession Number
        0x00100020,  # Patient ID
        0x00100030,  # Patient's Birth Date
        0x00101000,  # Other Patient IDs
        0x00101040,  # Patient's Address
        0x00101050,  # Insurance Plan Identification
        0x00101090,  # Medical Record Locator
        0x00102154,  # Patient's Telephone Numbers
        0x00102155,  # Patient's Telecom Information
        0x00380010,  # Admission ID
        0x00380060,  # Service Episode ID
        0x00401001,  # Requested Procedure ID
        0x00402016,  # Placer Order Number
        0x00402017,  # Filler Order Number
        0x0040050A,  # Specimen Accession Number
    }
)
_ENCODED_VRS = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UT"])
_NUMBERS = frozenset(
    ["AT", "FD", "FL", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"]
)
_UNSEARCHED = CODE_TAGS | {0x54001010}
"""Published codes, and Waveform Data."""
_OWN_WORDS = frozenset(
    ["removed", "basic", "application", "confidentiality", "profile", "clic", "edge", "deid"]
)
_PRIVATE = 0x10000
"""The bit of a tag that makes its group odd."""
_LEAST, _LEAST_TEXT, _LONG_WORD = 4, 6, 6
_DUMMIES = frozenset(DUMMIES.values())
_WIDE = re.compile(rb"(?:[\x01-\x7f]\0){2}|(?:\0[\x01-\x7f]){2}")
"""What two letters of ASCII look like in UTF-16."""
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")  # fmt: skip
_DATES = re.compile(
    rb"(?<!\d)(?:(\d{4})([-./ ])(\d\d?)\2(\d\d?)|(\d\d?)([-./ ])(\d\d?)\6(\d{4})|(\d\d)(\d\d)(\d{4})"
    rb"|(\d\d?)[-./ ]{1,2}(%b)[a-z]*[-./ ]{1,2}(\d{4}))(?!\d)" % b"|".join(_MONTHS)
)
_PHONES = re.compile(rb"\+?\d[\d ()/-]{5,}\d")
_TELEPHONES = frozenset({0x00102154, 0x00102155})
_PHONE_DIGITS = 8
"""The last ones: with or without the country's code, it is the same number."""
_KEYED_UID = re.compile(rb"2\.25\.\d{1,39}")


class Pattern(NamedTuple):
    """A word in one encoding, and what must not adjoin it."""

    encoded: bytes
    before: bytes
    after: bytes

    def found_in(self, hay: bytes) -> bool:
        """Whether it stands in `hay`, which is in lower case."""
        at = hay.find(self.encoded)
        while at >= 0:
            end = at + len(self.encoded)
            # An edge of `hay` gives an empty slice, which is in anything: only one byte counts.
            before, after = hay[max(at - 1, 0) : at], hay[end : end + 1]
            if not (before and before in self.before) and not (after and after in self.after):
                return True
            at = hay.find(self.encoded, at + 1)
        return False


class Token(NamedTuple):
    """What is searched for, in each encoding."""

    tag: int
    """Where the value came from."""
    patterns: tuple[Pattern, ...]
    is_identity: bool
    """Searched in every value; other text only inside the text that is kept."""


class ResidueCheck:
    """Searches outputs; remembers the tokens of one series, so that each is worked out once."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[Removed, bool], tuple[Token, ...]] = {}

    def search(
        self,
        output: bytes | Part10,
        removed: Iterable[Removed],
        subject_id: str,
        *,
        spared: Collection[tuple[int, bytes]] = (),
    ) -> None:
        """Return when nothing of `removed` is left in a Part 10 file, or in what was read of it.

        `spared` are values with their tags that the stage kept or made on purpose: not searched.

        Raises
        ------
        Defect
            ``residual-identifier``: something is; the sentence names both tags, never the value.
            ``undecodable-text``: a removed value is not in the character set that it claims.

        """
        read = part10.read(output) if isinstance(output, bytes) else output
        hay = _Hay(read, subject_id, spared)
        for value in dict.fromkeys(removed):
            for token in self._tokens_of(value, is_wide=hay.is_wide):
                hay.check(token)

    def _tokens_of(self, value: Removed, *, is_wide: bool) -> tuple[Token, ...]:
        tokens = self._tokens.get((value, is_wide))
        if tokens is None:
            tokens = self._tokens[value, is_wide] = tuple(_tokens(value, is_wide=is_wide))
        return tokens


class _Hay:
    """The values of an output that are searched; one that stands twice is searched once."""

    def __init__(
        self, output: Part10, subject_id: str, spared: Collection[tuple[int, bytes]]
    ) -> None:
        self._own = subject_id.encode("ascii").lower()
        self._uids: dict[bytes, int] = {}
        self._values: dict[tuple[int, bytes], None] = {}
        for tag, vr, value in _values(output.elements):
            if (tag, value.rstrip(b" \0")) in spared or (vr == "UI" and self._are_uids(tag, value)):
                continue
            self._values[tag, value] = None
        everything = b"\n".join(value for _, value in self._values)
        self.is_wide = _WIDE.search(everything) is not None
        """Whether anything in it looks like UTF-16, so that ASCII is searched in that too."""
        self._everything = _searchable(everything, self._own)
        self._text = b"\n".join(v for tag, v in self._values if _is_kept_text(tag)).lower()

    def _are_uids(self, tag: int, value: bytes) -> bool:
        """Whether a value is UIDs of ours or of DICOM's own: compared as a whole, not searched."""
        for uid in uid_values(value):
            if _KEYED_UID.fullmatch(uid):
                self._uids[uid] = tag
            elif uid and not is_registered(uid.decode("latin-1")):
                return False
        return True

    def check(self, token: Token) -> None:
        """Return when a token is not there. Raises Defect ``residual-identifier``."""
        if token.is_identity and token.patterns[0].encoded in self._uids:
            _report(token.tag, self._uids[token.patterns[0].encoded])
        hay = self._everything if token.is_identity else self._text
        if any(pattern.found_in(hay) for pattern in token.patterns):
            self._locate(token)

    def _locate(self, token: Token) -> None:
        """Raise for a hit that lies within one value; one over the edge of two is none."""
        for tag, value in self._values:
            if not token.is_identity and not _is_kept_text(tag):
                continue
            hay = _searchable(value, self._own)
            is_whole = hay.strip(b" \0") in {pattern.encoded for pattern in token.patterns}
            if is_whole and not token.is_identity:
                continue
            if any(pattern.found_in(hay) for pattern in token.patterns):
                _report(token.tag, tag)


def _report(came_from: int, stands_in: int) -> NoReturn:
    raise Defect(
        "residual-identifier",
        f"A value removed from {_tag(came_from)} is still in {_tag(stands_in)}.",
    )


def _searchable(value: bytes, own: bytes) -> bytes:
    """Return a value in lower case, and its dates and telephone numbers in one spelling each."""
    hay = value.lower().replace(own, b"")
    found = [day for match in _DATES.finditer(hay) for day in _days(match.groups(b""))]
    for match in _PHONES.finditer(hay):
        digits = bytes(byte for byte in match[0] if byte in b"0123456789")
        if len(digits) >= _PHONE_DIGITS:
            found.append(digits[-_PHONE_DIGITS:])
    return b"\n".join((hay, *found))


def _days(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the days, as DA, that a spelling may mean: day or month may come first."""
    year, month, day = parts[0], parts[2], parts[3]
    if parts[12]:
        year, month, day = parts[13], b"%d" % (_MONTHS.index(parts[12]) + 1), parts[11]
    elif not year:
        year, month, day = parts[7] or parts[10], parts[6] or parts[9], parts[4] or parts[8]
        yield b"%b%b%b" % (year, day.zfill(2), month.zfill(2))
    yield b"%b%b%b" % (year, month.zfill(2), day.zfill(2))


def _is_kept_text(tag: int) -> bool:
    return tag in TECHNICAL_TEXT or bool(tag & _PRIVATE)


def _values(elements: Iterable[Element]) -> Iterator[tuple[int, str, bytes]]:
    """Yield every value that may hold text, with its tag and VR."""
    for element in elements:
        if element.items is not None:
            for item in element.items:
                yield from _values(item)
        elif (
            isinstance(element.value, bytes)
            and (element.vr not in _NUMBERS or element.tag & _PRIVATE)
            and element.tag not in _UNSEARCHED
        ):
            yield element.tag, element.vr, element.value


def _tokens(removed: Removed, *, is_wide: bool) -> Iterator[Token]:
    text = decoded(removed)
    is_identity = removed.vr in {"PN", "UI", "DA", "DT"} or removed.tag in IDENTIFIERS
    codecs = _codecs(removed.character_set) if removed.vr in _ENCODED_VRS else ()
    for word in sorted(_words(removed, text)):
        if not is_identity and not _is_telling(word):
            continue
        patterns = (
            _ascii_patterns(word, is_wide=is_wide) if word.isascii() else _patterns(word, codecs)
        )
        if patterns and word.encode() not in _DUMMIES:
            yield Token(removed.tag, patterns, is_identity)


def _is_telling(word: str) -> bool:
    return len(word) >= _LEAST_TEXT and (" " in word or any(letter.isdigit() for letter in word))


def _words(removed: Removed, text: str) -> set[str]:
    """Return what is searched for of one value: parts of names, days, the last digits, values."""
    if removed.vr == "PN":
        return set(_names(text.strip("\0")))
    words = {word.strip(" \0\r\n\t") for word in text.split("\\")}
    if removed.vr == "UI":
        return {word for word in words if not is_registered(word)}
    if removed.vr in {"DA", "DT"}:
        return {word[:8] for word in words if re.match(r"\d{8}", word)}
    if removed.tag in _TELEPHONES:
        words |= {"".join(filter(str.isdigit, word))[-_PHONE_DIGITS:] for word in words}
    return words


def _names(text: str) -> Iterator[str]:
    """Yield the parts of person names, and neighbours together; ordinary words not by themselves."""
    for group in re.split(r"[=\\]", text):
        parts = [part for part in re.split(r"[\^\s,]+", group) if part]
        yield from (part for part in parts if part.casefold() not in _ordinary_words())
        for one, other in itertools.pairwise(parts):
            yield from (f"{one} {other}", f"{one}^{other}", f"{other} {one}")


def _ascii_patterns(word: str, *, is_wide: bool) -> tuple[Pattern, ...]:
    """Return a word of ASCII, in lower case: the same bytes in every encoding but UTF-16."""
    word = word.lower()
    is_short = word.isalpha() and len(word) < _LONG_WORD
    before, after = (_adjoining(edge, is_short=is_short) for edge in (word[:1], word[-1:]))
    patterns = [Pattern(word.encode("ascii"), before, after)]
    if is_wide:
        patterns += (Pattern(word.encode(f"utf-16-{end}"), b"", b"") for end in ("le", "be"))
    return tuple(pattern for pattern in patterns if len(pattern.encoded) >= _LEAST)


def _patterns(word: str, codecs: Sequence[str]) -> tuple[Pattern, ...]:
    """Return a word in every encoding, in lower case as far as bytes have one."""
    found: dict[bytes, Pattern] = {}
    before, after = (_adjoining(edge, is_short=False) for edge in (word[0], word[-1]))
    for form in (word, word.lower(), word.upper()):
        for codec in ("utf-8", "latin-1", *codecs, "utf-16-le", "utf-16-be"):
            try:
                encoded = form.encode(codec).lower()
            except UnicodeEncodeError:
                continue
            if len(encoded) >= _LEAST:
                is_wide = codec.startswith("utf-16")
                edges = (b"", b"") if is_wide else (before, after)
                found.setdefault(encoded, Pattern(encoded, *edges))
    return tuple(found.values())


def _adjoining(edge: str, *, is_short: bool) -> bytes:
    """Return the bytes that must not adjoin a hit that begins or ends with `edge`."""
    if is_short:
        return string.ascii_lowercase.encode()
    return string.digits.encode() if edge.isdigit() else b""


@cache
def _ordinary_words() -> frozenset[str]:
    names = " ".join(entry[2] for entry in DicomDictionary.values())
    return frozenset(word.casefold() for word in re.findall(r"[A-Za-z]+", names)) | _OWN_WORDS


@cache
def _codecs(character_set: bytes) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set.

    Raises
    ------
    Defect
        ``undecodable-text``: one of its terms is unknown.

    """
    terms = [term.strip(" \0") for term in character_set.decode("latin-1").split("\\")]
    if any(term not in python_encoding for term in terms):
        raise Defect(
            "undecodable-text", "Specific Character Set (0008,0005) has a term that is not known."
        )
    return tuple(convert_encodings(terms))


def decoded(removed: Removed) -> str:
    """Return a removed value as text.

    Raises
    ------
    Defect
        ``undecodable-text``: it is not in the character set that it claims.

    """
    is_plain = removed.value.isascii() and b"\x1b" not in removed.value
    if removed.vr not in _ENCODED_VRS:
        return removed.value.decode("latin-1")
    codecs = list(_codecs(removed.character_set))
    if is_plain and codecs[0] != "shift_jis":
        return removed.value.decode("ascii")
    delimiters = PN_DELIMS if removed.vr == "PN" else TEXT_VR_DELIMS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return decode_bytes(removed.value, codecs, delimiters)
    except (UnicodeError, UserWarning, LookupError) as error:
        raise Defect(
            "undecodable-text", f"{_tag(removed.tag)} is not in the character set that it claims."
        ) from error


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
