"""The sentences that a reader reads in our results, the same in every kind of object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.results.meanings import meaning_of

if TYPE_CHECKING:
    from datetime import datetime

    from clic_edge.domain.prediction import Code, Measurement, ModelIdentity, Prediction
    from clic_edge.domain.result import SeriesRefusal

_SENTENCES = {
    "not verified": ("AI result, not verified", "AI-resultat, ikke verificeret"),
    "not analysed": ("not analysed", "ikke analyseret"),
    "nothing found": ("nothing found", "intet fundet"),
    "series": ("Series", "Serie"),
    "image": ("image", "billede"),
    "left": ("left", "venstre"),
    "right": ("right", "højre"),
    "both sides": ("both sides", "begge sider"),
    "chosen": ("chosen", "valgt"),
    "heat map": ("Picture on the right, dark to bright", "Billedet til højre, fra mørk til lys"),
    "patient": ("Patient", "Patient"),
    "study": ("Study", "Undersøgelse"),
    "model": ("Model", "Model"),
    "intended use": ("Intended use", "Tiltænkt brug"),
    "operating point": ("Operating point", "Arbejdspunkt"),
    "threshold": ("threshold", "tærskel"),
    "sensitivity": ("sensitivity", "sensitivitet"),
    "specificity": ("specificity", "specificitet"),
    "probability": ("probability", "sandsynlighed"),
    "assess": (
        "Accept, modify or reject this result at",
        "Godkend, ret eller afvis dette resultat på",
    ),
    "replaces": (
        "Takes the place of an earlier result of the same study",
        "Træder i stedet for et tidligere resultat af samme undersøgelse",
    ),
    "earlier withdrawn": (
        "Earlier AI results of this study are withdrawn",
        "Tidligere AI-resultater af denne undersøgelse er trukket tilbage",
    ),
    "alarm": (
        "Monitoring: an alarm on this model, open since {}, had not been acknowledged yet.",
        "Overvågning: for en alarm på denne model, åben siden {}, var der endnu ikke kvitteret.",
    ),
}
_LARGE_MM3 = 10_000.0
_MM3_IN_ML = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingLine:
    """One finding as a reader reads it."""

    name: str
    value: str
    """A number with as many digits as mean something, or words."""
    unit: str
    segment: int | None = None
    """The number of the segment that it is about."""

    @property
    def text(self) -> str:
        """Name, value and unit in one line."""
        return f"{self.name}: {self.value}{' ' if self.unit else ''}{self.unit}"


def say(sentence: str, language: str) -> str:
    """Return one of the fixed sentences."""
    english, danish = _SENTENCES[sentence]
    return danish if language == "da" else english


def alarm_line(since: datetime | None, language: str) -> str:
    """Return that an alarm on the model stands open since a day (UTC); empty where none does."""
    return say("alarm", language).format(f"{since:%Y-%m-%d}") if since else ""


def finding_lines(prediction: Prediction, language: str) -> tuple[FindingLine, ...]:
    """Return every finding: volumes and other measurements, categories, then detections."""
    lines = []
    for finding in prediction.segments:
        label, number = finding.definition.label, finding.definition.number
        if prediction.geometry.in_patient:
            lines.append(_volume(label, finding.volume_mm3, number=number, language=language))
        lines += [
            FindingLine(
                name=f"{label}, {_measured(one, language)}",
                value=decimal(one.value, language),
                unit=_meaning(one.unit, language),
                segment=number,
            )
            for one in finding.measurements
        ]
    lines += [
        FindingLine(
            name=one.label,
            value=percent(one.probability, language),
            unit=f"({say('chosen', language)})" if one.chosen else "",
        )
        for one in prediction.categories
    ]
    lines += [
        FindingLine(name=one.label, value=percent(one.probability, language), unit="")
        for one in prediction.detections
    ]
    return tuple(lines)


_WITHHELD = {"da": "Resultatet holdes tilbage på grund af en teknisk fejl"}
"""What stands for any defect, in languages other than English: its own sentence is for a technician."""


def why_refused(refusal: SeriesRefusal, language: str) -> str:
    """Return why a series was not analysed.

    In another language than English the code has a general sentence, and the one with the numbers
    stands behind it.
    """
    fault = _WITHHELD.get(language, "") if refusal.withheld else ""
    general = meaning_of("refusal", refusal.code, language=language, otherwise=fault)
    return f"{general} ({refusal.reason})" if general else refusal.reason


def _measured(one: Measurement, language: str) -> str:
    parts = (one.derivation, one.name)
    return " ".join(_meaning(part, language) for part in parts if part)


def _meaning(code: Code, language: str) -> str:
    return meaning_of(code.scheme, code.value, language=language, otherwise=code.meaning)


def operating_point(model: ModelIdentity, language: str) -> str:
    """Return where the model decides, in words; empty where the package doesn't say."""
    point = model.operating_point
    if point is None:
        return ""
    parts = [f"{say('threshold', language)} {decimal(point.threshold, language)}"]
    for name, share in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
        if share is not None:
            parts.append(f"{say(name, language)} {percent(share, language)}")
    return f"{point.name} ({', '.join(parts)})"


def decimal(value: float, language: str) -> str:
    """Return three significant digits, whole numbers whole, with the language's decimal sign."""
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
    return digits.replace(".", ",") if language == "da" else digits


def percent(share: float, language: str) -> str:
    """Return a share of 1 in percent."""
    return f"{decimal(100 * share, language)} %"


def _volume(label: str, volume_mm3: float, *, number: int, language: str) -> FindingLine:
    large = volume_mm3 >= _LARGE_MM3
    value = decimal(volume_mm3 / _MM3_IN_ML if large else volume_mm3, language)
    return FindingLine(name=label, value=value, unit="ml" if large else "mm³", segment=number)
