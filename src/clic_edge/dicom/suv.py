"""Standardized Uptake Value by body weight: what a PET image must be multiplied with.

After QIBA's vendor-neutral rules (QIBA FDG-PET/CT profile, appendix G): SUVbw is the activity
concentration, decayed to the start of the scan, by the dose in a gram of the patient.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clic_edge.dicom.attributes import Attributes

GRAMS = 1000.0
"""In a kilogram."""
_LONGEST = timedelta(hours=24)
"""From injection to scan; more is a wrong date."""
_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2})?(\.\d{1,6})?")
_WITH_ZONE = re.compile(r"(\d{8})([\d.]+)([+-]\d{4})?")
_PHILIPS = (0x7053, "Philips PET Private Group", 0x00)
"""Group, private creator and element of Philips's SUV Scale Factor."""


def suv_bw_factor(image: Attributes) -> float | None:
    """Return what rescaled pixel values are multiplied with to be SUVbw, in g/ml.

    None where the image does not say all that it takes, or says it in a way that allows of two
    answers: nobody guesses at a tumour's uptake. Units (0054,1001) may be BQML, GML of type BW,
    or CNTS with Philips's private factor.

    Raises
    ------
    Defect
        ``invalid-attribute``.

    """
    units = image.text("Units").upper()
    if units == "GML":
        return 1.0 if image.text("SUVType").upper() in {"", "BW"} else None
    if units == "CNTS":
        return _philips(image)
    if units != "BQML" or "DECY" not in image.texts("CorrectedImage"):
        return None
    drug = image.first_item("RadiopharmaceuticalInformationSequence")
    weight = image.number("PatientWeight")
    if drug is None or not weight:
        return None
    dose, half_life = drug.number("RadionuclideTotalDose"), drug.number("RadionuclideHalfLife")
    waited = _waited(image, drug)
    if dose is None or not half_life or half_life < 0 or waited is None:
        return None
    left = dose * math.exp2(-waited.total_seconds() / half_life)
    return weight * GRAMS / left if left >= 1 else None  # becquerel: less is no dose


def _waited(image: Attributes, drug: Attributes) -> timedelta | None:
    """Return how long the dose decays until the moment to which the images are corrected."""
    correction = image.text("DecayCorrection").upper()
    if correction == "ADMIN":
        return timedelta(0)
    scan = _scan_start(image)
    if correction != "START" or scan is None:
        return None
    injected = _injected(drug, scan, zone=image.text("TimezoneOffsetFromUTC"))
    waited = scan - injected if injected else None
    return waited if waited is not None and timedelta(0) <= waited <= _LONGEST else None


def _scan_start(image: Attributes) -> datetime | None:
    """Return when the scan began: Series Time, unless the series was made after the scan."""
    series = _moment(image.text("SeriesDate"), image.text("SeriesTime"))
    acquired = _moment(image.text("AcquisitionDate"), image.text("AcquisitionTime"))
    if series is None or acquired is None or series > acquired:
        return None
    return series


def _injected(drug: Attributes, scan: datetime, *, zone: str) -> datetime | None:
    """Return the injection; a time without a date is that of the scan's day, or of the day before."""
    told = _WITH_ZONE.fullmatch(drug.text("RadiopharmaceuticalStartDateTime"))
    if told:
        same_zone = not (zone and told[3]) or zone == told[3]
        return _moment(told[1], told[2]) if same_zone else None
    same_day = _moment(f"{scan:%Y%m%d}", drug.text("RadiopharmaceuticalStartTime"))
    if same_day is None:
        return None
    return same_day if same_day <= scan else same_day - timedelta(days=1)


def _moment(date: str, time: str) -> datetime | None:
    found = _TIME.fullmatch(time.strip())
    if not found or not re.fullmatch(r"\d{8}", date.strip()):
        return None
    hours, minutes, seconds, fraction = (float(part or 0) for part in found.groups())
    try:
        day = datetime.strptime(date.strip(), "%Y%m%d")  # noqa: DTZ007 - both ends are local
    except ValueError:
        return None
    return day + timedelta(hours=hours, minutes=minutes, seconds=seconds + fraction)


def _philips(image: Attributes) -> float | None:
    group, creator, element = _PHILIPS
    dataset = image.dataset
    try:
        block = dataset.private_block(group, creator)
        factor = float(block[element].value)
    except (KeyError, TypeError, ValueError):
        return None
    return factor if factor > 0 else None
