"""The storage classes that can be de-identified, by what their pixels may show.

What is not listed is refused: private classes, encapsulated documents, video, audio, raw data,
directories, and objects of no patient.
"""

from __future__ import annotations

from enum import Enum

_STORAGE = "1.2.840.10008.5.1.4.1.1."


class PixelRisk(Enum):
    """Whether a class's pixels may show burned-in text."""

    NONE = "no pixels, or computed ones"
    ACQUIRED = "as the scanner reconstructed them: text only in screen saves and colour"
    DECLARED = "safe only where Burned In Annotation (0028,0301) is NO"
    SHOWN = "text is usual: needs a pixel cleaner"


_BY_RISK = {
    PixelRisk.NONE: """
        11.1 11.2 11.3 11.4 11.5 11.6 11.7 11.8 11.9 11.10 11.11 11.12 30
        66.1 66.2 66.3 66.4 66.5 66.6 66.7 67 88.11 88.22 88.33 88.34 88.35 88.40 88.50 88.59 88.65
        88.67 88.68 88.69 88.70 88.71 88.72 88.73 88.74 88.75 88.76 88.77
        9.1.1 9.1.2 9.1.3 9.1.4 9.2.1 9.3.1 9.5.1 9.6.1 9.6.2 9.7.1 9.7.2 9.7.3 9.7.4 9.8.1
        91.1 481.2 481.3 481.4 481.5 481.6 481.7 481.8 481.9 4.2""",
    PixelRisk.ACQUIRED: "2 2.1 2.2 4 4.1 4.4 128 128.1 130",
    PixelRisk.DECLARED: """
        1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 4.3 5 12.1 12.1.1 12.2 12.2.1 13.1.1 13.1.2 13.1.3 13.1.4
        13.1.5 14.1 14.2 20 77.1.5.4 77.1.6 481.1""",
    PixelRisk.SHOWN: """
        3 3.1 6 6.1 6.2 6.3 7 7.1 7.2 7.3 7.4 77.1.1 77.1.2 77.1.3 77.1.4 77.1.5.1 77.1.5.2
        77.1.5.5 77.1.5.6 77.1.5.7 77.1.5.8 77.1.7 77.1.8 77.1.9 81.1 82.1""",
}

SOP_CLASSES: dict[str, PixelRisk] = {
    _STORAGE + suffix: risk for risk, suffixes in _BY_RISK.items() for suffix in suffixes.split()
}
