"""The servers: the appliance's own Orthanc, its database, and each destination."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from clic_edge.config import DimseDestination, destination_profile
from clic_edge.domain.pressure import Pressure
from clic_edge.errors import ConfigError, Transient
from clic_edge.ledger.database import require_ledger
from clic_edge.pacs.guarding import says_guarded
from clic_edge.pacs.probe import offers
from clic_edge.readiness.finding import Finding, Verdict, failed, found
from clic_edge.transports import dimse_peer, probe_destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clic_edge.app import Appliance
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.association import DimsePeer
    from clic_edge.pacs.rest import Rest

_ECHO: Final = "is the PACS up, does it know us by our AE title, and does the firewall let us?"


def servers(appliance: Appliance) -> Iterator[Finding]:
    """Yield what each server answers; nothing is stored anywhere."""
    settings = appliance.settings
    orthanc = found(
        f"Orthanc at {settings.orthanc.url}",
        lambda: _answers(lambda: appliance.archive().changes(0)),
        to_do="systemctl status clic-edge-orthanc",
    )
    yield orthanc
    if orthanc.verdict is Verdict.OK:
        with closing(appliance.rest()) as rest:
            yield guard(rest)
    ledger = _ledger(appliance)
    yield ledger
    if ledger.verdict is Verdict.OK:
        yield intake(appliance.ledger)
    for name, destination in settings.destinations.items():
        echo = found(
            f"destination {name}",
            lambda to=destination: _answers(lambda: probe_destination(to)),  # type: ignore[misc] # bound in this turn
            to_do=_ECHO,
        )
        yield echo
        if echo.verdict is Verdict.OK and isinstance(destination, DimseDestination):
            yield _taken(appliance, name, dimse_peer(destination))


def _ledger(appliance: Appliance) -> Finding:
    def look() -> str:
        require_ledger(appliance.engine)
        open_cases = sum(1 for _ in appliance.ledger.cases.under_way())
        return f"answers, {open_cases} cases under way"

    return found(
        "ledger", look, to_do="systemctl status clic-edge-worker, which makes it and keeps it"
    )


def guard(rest: Rest) -> Finding:
    """Return whether Orthanc's plugin runs, and has its parser guarded (decision 0037)."""
    what = "Orthanc's parser"
    try:
        guarded = says_guarded(rest)
    except Transient as hindrance:
        return failed(what, hindrance, to_do="systemctl status clic-edge-orthanc")
    if guarded:
        return Finding(what=what, seen="nested sequences are bounded")
    if guarded is None:
        return Finding(
            what=what,
            seen="no plugin of this version says whether it is guarded",
            verdict=Verdict.LOOK,
            to_do="systemctl restart clic-edge-orthanc; without its plugin it refuses no sender",
        )
    return Finding(
        what=what,
        seen="not guarded: whoever reaches the DICOM port can end Orthanc by nested sequences",
        verdict=Verdict.LOOK,
        to_do="start it with LD_PRELOAD=…/appliance/orthanc/nesting.so, as the unit does "
        "(docs/reference/limits.md)",
    )


def intake(ledger: Ledger) -> Finding:
    """Return whether Orthanc's plugin turns images away now, and for want of what."""
    for one in ledger.pressure.standing():
        turns_away = one.pressure.turns_away
        deed = "images are turned away" if turns_away else "the queue is full"
        return Finding(
            what="intake",
            seen=f"{deed} since {one.since:%Y-%m-%d %H:%M} UTC ({one.pressure})",
            verdict=Verdict.NO if turns_away else Verdict.LOOK,
            to_do="make room on Orthanc's disk"
            if one.pressure is Pressure.DISK
            else "see what the oldest case waits for, or raise the limits in [intake]",
            exit_code=ConfigError.exit_code if turns_away else 0,
        )
    return Finding(what="intake", seen="images are taken")


def _taken(appliance: Appliance, name: str, peer: DimsePeer) -> Finding:
    """Return whether a PACS accepts each kind of object that its profile says it gets."""
    what, wanted = f"{name} takes", destination_profile(appliance.settings, name).results
    try:
        accepted = {kind for one in offers(peer) if one.accepted for kind in one.sop_class.kinds}
    except Transient as hindrance:
        return failed(what, hindrance, to_do=_ECHO)
    refused = [kind for kind in wanted if kind not in accepted]
    if refused:
        return Finding(
            what=what,
            seen=f"not {', '.join(refused)}",
            verdict=Verdict.NO,
            to_do=f"`clic-edge pacs probe {name} --write FILE` writes a profile of what it takes",
            exit_code=ConfigError.exit_code,
        )
    return Finding(what=what, seen=", ".join(wanted))


def _answers(ask: Callable[[], object]) -> str:
    ask()
    return "answers"
