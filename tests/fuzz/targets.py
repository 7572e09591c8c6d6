"""What any bytes may do to the reader and to the stage, and nothing else."""

from __future__ import annotations

import warnings

from factories import CANARY

from clic_edge.deid import BASIC, DeidKey, deidentify, part10
from clic_edge.deid.profile import Profile
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import ClicEdgeError

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
WIDE = Profile(
    name="wide",
    options=frozenset(
        {
            "retain_longitudinal_modified_dates",
            "retain_patient_characteristics",
            "retain_device_identity",
            "retain_safe_private",
            "clean_descriptors",
            "clean_structured_content",
            "clean_graphics",
        }
    ),
)
"""Every option that lets a value of the source through some code of its own."""
DEFLATED = "1.2.840.10008.1.2.1.99"
GROWTH, FIXED = 64, 65_536
"""An attribute of eight bytes may become a dummy sequence, and markers come on top."""


def read(content: bytes) -> None:
    """Read bytes: elements or a defect, and the elements hold no more than the bytes did."""
    try:
        source = part10.read(content)
    except ClicEdgeError:
        return
    held = sum(map(_size, source.elements))
    if source.transfer_syntax_uid != DEFLATED and held > len(content):
        raise AssertionError(f"{held} bytes of values in {len(content)}")


def clean(content: bytes) -> None:
    """Clean bytes under two profiles: a readable instance within its bound, or an error by name."""
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id=CANARY.patient_id,
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )
    for profile in (BASIC, WIDE):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                output = deidentify(series, profile, PSEUDONYM).instances[0].content
            except ClicEdgeError as error:
                _check_words(error)
                continue
        part10.read(output)
        if len(output) > FIXED + GROWTH * _inflated(content):
            raise AssertionError(f"{len(output)} bytes of {len(content)}")


def _check_words(error: ClicEdgeError) -> None:
    """Raise when an error's sentence quotes the file."""
    for secret in ("Kanariefugl", CANARY.patient_id, CANARY.accession_number):
        if secret in str(error):
            raise AssertionError(f"{error.code} quotes the file")


def _size(element: part10.Element) -> int:
    nested = sum(_size(one) for item in element.items or () for one in item)
    return len(element.value) + nested


def _inflated(content: bytes) -> int:
    """Return the most that a file can hold: deflate shortens to a thousandth at best."""
    return len(content) * (1100 if DEFLATED.encode() in content else 1)
