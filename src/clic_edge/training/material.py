"""What a package learns from: a folder of labelled volumes, its digests, and who stays together."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.config.toml import read_toml
from clic_edge.errors import ConfigError, Defect
from clic_edge.inference.lineage import Part, TrainedOn
from clic_edge.training.cohort import COHORT, read_cohort
from clic_edge.training.recipe import Described
from clic_edge.validation.folder import case_files, case_names, read_case
from clic_edge.validation.groups import NAME, SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from clic_edge.training.recipe import Split
    from clic_edge.validation.folder import LabelledVolume

DATASET = "dataset.toml"
MANIFEST = "manifest.json"
CERTIFICATE = "certificate.jsonl"
SPLIT = "split.json"
SUBJECT = "subject"
"""Column of the table of subjects that says whose a case is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """One labelled case, not read yet."""

    folder: Path
    name: str
    subject: str
    """Whose it is: the cases of one subject are learned from together, or not at all."""
    digest: str
    """SHA-256 over the digests of image and label."""

    def read(self, modality: str) -> LabelledVolume:
        """Return image and label. Raises ConfigError as `read_case`."""
        return read_case(self.folder, self.name, modality=modality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A folder of labelled cases."""

    cases: tuple[CaseFile, ...]
    described: Described
    manifest: str
    """Digest of the cohort's manifest; empty where there is none."""
    certificate: str
    """Digest of the cohort's certificate; empty where there is none."""

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all cases, in their order by digest."""
        return _sha256("\n".join(sorted(one.digest for one in self.cases)).encode())

    def told(self, parts: Parts, replayed: Iterable[CaseFile] = ()) -> TrainedOn:
        """Return what the lineage says of it: its own cases that had a part."""
        own = {one.digest for one in self.cases}
        named = (*parts.named(), *((Part.REPLAYED, one) for one in replayed))
        return TrainedOn(
            name=self.described.name,
            licence=self.described.licence,
            source=self.described.source,
            digest=self.digest,
            manifest=self.manifest,
            certificate=self.certificate,
            cases=tuple(sorted((part, one.digest) for part, one in named if one.digest in own)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who is learned from, who says when to stop, and who measures what came of it."""

    train: tuple[CaseFile, ...]
    stopping: tuple[CaseFile, ...]
    held_out: tuple[CaseFile, ...]

    def named(self) -> Iterable[tuple[Part, CaseFile]]:
        """Yield each case with its part."""
        yield from ((Part.TRAIN, one) for one in self.train)
        yield from ((Part.STOPPING, one) for one in self.stopping)
        yield from ((Part.HELD_OUT, one) for one in self.held_out)

    def told(self) -> str:
        """Return how many there are of each, in words."""
        return (
            f"{len(self.train)} cases to learn from, {len(self.stopping)} that say when to stop, "
            f"{len(self.held_out)} held out."
        )

    def to_json(self, before: Iterable[str] = ()) -> str:
        """Return the split as packages have it: what decided anything counts as learned from.

        `before` names what the parent had learned from.
        """
        learned = {one.name for one in (*self.train, *self.stopping)}
        content = {
            "train": sorted(learned | set(before)),
            "stopping": sorted(one.name for one in self.stopping),
            "validation": sorted(one.name for one in self.held_out),
        }
        return json.dumps(content, indent=1) + "\n"


def read_material(folder: Path, described: Described) -> Material:
    """Return the labelled cases of a folder.

    It is laid out as `validation.folder` says; a cohort of ours has its manifest beside. What
    ``dataset.toml`` there says of name and licence goes before `described`.

    Raises
    ------
    ConfigError
        ``training-unlabelled``: a cohort export, which holds images and nobody's outlines. As
        `case_names`, `read_cohort` and `read_toml`.
    Defect
        ``cohort-changed``: a file is not the one that the cohort's manifest lists.

    """
    if (folder / MANIFEST).exists() and not (folder / "labels").is_dir():
        raise ConfigError(
            "training-unlabelled",
            f"{folder} is a cohort without outlines; put volumes and labels of its series into "
            "images/ and labels/, or let `clic-edge retrain` make a cohort of what readers drew.",
        )
    names = case_names(folder)
    listed = read_cohort(folder) if (folder / COHORT).exists() else None
    subjects = (
        {one.name: one.subject for one in listed.cases} if listed else _subjects(folder / SUBJECTS)
    )
    cases = tuple(_case(folder, name, subjects) for name in names)
    if listed and {one.name: one.digest for one in listed.cases} != {
        one.name: one.digest for one in cases
    }:
        raise Defect("cohort-changed", f"The files in {folder} are not those of {COHORT}.")
    dataset = folder / DATASET
    return Material(
        cases=cases,
        described=read_toml(Described, dataset) if dataset.exists() else described,
        manifest=_digest_of_file(folder / (COHORT if listed else MANIFEST)),
        certificate=listed.certificate if listed else _digest_of_file(folder / CERTIFICATE),
    )


def case_digest(image: Path, label: Path) -> str:
    """Return the digest by which a case is known: over those of its two files."""
    return _sha256("\n".join(_sha256(path.read_bytes()) for path in (image, label)).encode())


def split_cases(
    cases: Sequence[CaseFile], split: Split, *, seed: int, shipped: Path | None = None
) -> Parts:
    """Return the cases by part, each subject in one; the same seed gives the same parts.

    Where the file `shipped` names all cases, what it lists under ``validation`` is held out.
    Whom it lists under ``train`` is never held out: the package has learned from them.

    Raises ConfigError ``training-split``: nothing is left to learn from.
    """
    rng = np.random.default_rng(seed)
    known = _shipped(shipped) if shipped and shipped.exists() else {}
    names = {one.name for one in cases}
    if known and names <= known["train"] | known["validation"]:
        held = {one.subject for one in cases if one.name in known["validation"]}
    else:
        learned = {one.subject for one in cases if _is_known(one, known.get("train", set()))}
        unseen = [one.subject for one in cases if one.subject not in learned]
        held = _drawn(unseen, split.held_out, rng)
    left = [one.subject for one in cases if one.subject not in held]
    stop = _drawn(left, split.stopping, rng)
    parts = Parts(
        train=tuple(one for one in cases if one.subject not in held | stop),
        stopping=tuple(one for one in cases if one.subject in stop),
        held_out=tuple(one for one in cases if one.subject in held),
    )
    if not parts.train:
        raise ConfigError(
            "training-split",
            f"Of {len(names)} cases, none is left to learn from; [split] asks for too many.",
        )
    return parts


def require_apart(parts: Parts, replayed: Iterable[CaseFile] = ()) -> None:
    """Return where each case is itself, and what is held out is nowhere else under another name.

    Raises ConfigError ``training-split``.
    """
    learned = (*parts.train, *parts.stopping, *replayed)
    names = [one.name for one in (*learned, *parts.held_out)]
    if len(set(names)) < len(names):
        raise ConfigError("training-split", "Two cases have one name; rename one of them.")
    known = {one.digest for one in learned}
    twice = [one.name for one in parts.held_out if one.digest in known]
    if twice:
        raise ConfigError(
            "training-split",
            f"{len(twice)} held-out cases are learned from too, under another name; the first is "
            f"{twice[0]}.",
        )


def _is_known(one: CaseFile, names: Collection[str]) -> bool:
    """Whether one of the cases is this one, or another of its subject, as `gather` names them."""
    earlier = f"{one.subject}-"
    return one.name in names or (
        one.subject != one.name and any(name.startswith(earlier) for name in names)
    )


def _drawn(subjects: Iterable[str], share: float, rng: np.random.Generator) -> set[str]:
    """Return a share of the subjects, one at least where any is asked for."""
    order = rng.permutation(sorted(set(subjects))).tolist()
    return set(order[: max(round(share * len(order)), 1 if share else 0)])


def learned_by(package: Path) -> frozenset[str]:
    """Return the names of the cases that a package says it learned from; empty where it doesn't."""
    path = package / SPLIT
    return frozenset(_shipped(path)["train"]) if path.exists() else frozenset()


def _shipped(path: Path) -> dict[str, set[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: set(content[key]) for key in ("train", "validation")}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("training-split", f"{path} is no split of cases.") from error


def _case(folder: Path, name: str, subjects: Mapping[str, str]) -> CaseFile:
    return CaseFile(
        folder=folder,
        name=name,
        subject=subjects.get(name) or name,
        digest=case_digest(*case_files(folder, name)),
    )


def _subjects(path: Path) -> dict[str, str]:
    """Return whose the cases are, where a table says so."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row.get(NAME, ""): row.get(SUBJECT) or "" for row in csv.DictReader(file)}


def _digest_of_file(path: Path) -> str:
    return _sha256(path.read_bytes()) if path.exists() else ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
