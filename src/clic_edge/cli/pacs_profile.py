"""The profile that a probe suggests, and the file that tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.config import Commitment, DestinationProfile

if TYPE_CHECKING:
    from clic_edge.pacs.probe import CommitmentFinding, Offer
    from clic_edge.pacs.probe_web import Service

FIRST = ("seg", "sr", "summary")
"""What every viewer of AI results starts from."""
INSTEAD = ("sc", "pdf", "pr", "ko")
"""What shows a finding where SEG or SR does not, in order of preference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a PACS answered: by DICOM's own protocol, or over the web."""

    offers: tuple[Offer, ...] = ()
    queries: tuple[tuple[str, bool], ...] = ()
    commitment: CommitmentFinding | None = None
    """None when no commitment was asked for."""
    report_port: int | None = None
    services: tuple[Service, ...] = ()

    @property
    def taken(self) -> tuple[str, ...]:
        """The kinds of results whose class is accepted."""
        return tuple(
            kind for offer in self.offers if offer.accepted for kind in offer.sop_class.kinds
        )

    def offered(self, name: str) -> bool:
        """Whether a service of that name is there."""
        return any(one.name == name and one.offered for one in self.services)


def suggest(findings: Findings) -> DestinationProfile:
    """Return the profile that a probe speaks for.

    SEG, SR and summary where they are taken; Label Map SEG only where no other SEG is; pictures,
    a report and key images where SEG or SR is not. Storage commitment when a report came, else
    a query where one is answered.
    """
    commitment = findings.commitment
    way = commitment.way if commitment else "none"
    if findings.services:
        confirm = "qido" if findings.offered("QIDO-RS, instances") else "none"
    else:
        confirm = "c-find" if dict(findings.queries).get("IMAGE") else "none"
    return DestinationProfile.model_validate(
        {
            "results": _results(findings) or FIRST,
            "confirm": confirm,
            "commitment": Commitment.model_validate(
                {"way": way, "port": findings.report_port if way != "none" else None}
            ),
        }
    )


def _results(findings: Findings) -> tuple[str, ...]:
    if findings.services:
        return FIRST  # STOW-RS says what it takes when it is sent, not before
    taken = findings.taken
    results = [kind for kind in FIRST if kind in taken]
    if "seg" not in taken and "seg-labelmap" in taken:
        results.insert(0, "seg-labelmap")
    if len(results) < len(FIRST):
        results += [kind for kind in INSTEAD if kind in taken]
    return tuple(results)


def to_toml(name: str, findings: Findings, profile: DestinationProfile) -> str:
    """Return the profile as a file that says where each line comes from."""
    quoted = ", ".join(f'"{kind}"' for kind in profile.results)
    lines = [
        f"# Written by `clic-edge pacs probe {name}`. Every key is explained in",
        "# docs/reference/configuration.md.",
        "",
        *_also(findings, profile),
        f"results = [{quoted}]",
        "",
        "# No PACS tells whether it reads UTF-8. Look at the first result with an Å in a name; if",
        '# it is garbled, "ISO_IR 100" is Latin-1.',
        f'character_set = "{profile.character_set}"',
        "",
        *_asked(findings),
        f'confirm = "{profile.confirm}"',
        "",
        "# A PACS that follows IHE IOCM hides what a rejection note names; ask its administrator.",
        f"rejection_notes = {str(profile.rejection_notes).lower()}",
        "",
        "# What readers say of a result on the appliance's page comes as SR beside it.",
        f"assessments = {str(profile.assessments).lower()}",
        "",
        *_compression(findings),
        *_reported(findings),
        "[commitment]",
        f'way = "{profile.commitment.way}"',
    ]
    if profile.commitment.port is not None:
        lines.append(f"port = {profile.commitment.port}")
    lines.append(f"timeout_s = {profile.commitment.timeout_s:g}")
    return "\n".join(lines) + "\n"


def _also(findings: Findings, profile: DestinationProfile) -> list[str]:
    if findings.services:
        return ["# STOW-RS does not tell which classes it takes: see the first receipts."]
    also = ", ".join(kind for kind in findings.taken if kind not in profile.results)
    without = ", ".join(one.sop_class.name for one in findings.offers if not one.accepted)
    return [
        *([f"# It takes as well: {also}."] if also else []),
        *([f"# It rejects: {without}."] if without else []),
    ]


def _asked(findings: Findings) -> list[str]:
    if findings.services:
        return [f"# {one.name}: {one.answer}." for one in findings.services]
    answers = ", ".join(
        f"{level} {'answered' if answers else 'not answered'}"
        for level, answers in findings.queries
    )
    return [f"# C-FIND: {answers}. Counts where there is no storage commitment."]


def _compression(findings: Findings) -> list[str]:
    """Return the line to take the comment off, where a SEG can be deflated."""
    for offer in findings.offers:
        if "seg" in offer.sop_class.kinds and "deflated" in offer.syntaxes:
            return [
                "# It accepts deflated SEG, which is often a tenth of the size; can its viewers?",
                "# [compression]",
                '# seg = "deflated"',
                "",
            ]
    return []


def _reported(findings: Findings) -> list[str]:
    if findings.services:
        return []
    offered = any(
        one.sop_class.name == "Storage Commitment" and one.accepted for one in findings.offers
    )
    said = "offers storage commitment" if offered else "does not offer storage commitment"
    if findings.commitment is None:
        more = " Ask for a report: --commitment, --report-port PORT." if offered else ""
        return [f"# It {said}.{more}"]
    return [f"# It {said}. Asked for a report: {findings.commitment.answer.rstrip('.')}."]
