"""Profiles of destinations: what is read, what goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from clic_edge.config import (
    DestinationProfile,
    Settings,
    destination_profile,
    kinds_for,
    load_settings,
)
from clic_edge.config.destination import ALTERNATIVES, ASSESSMENT, REJECTION, Kind
from clic_edge.config.toml import read_toml
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError
from clic_edge.pacs.encoding import CODECS, UTF_8

if TYPE_CHECKING:
    from pathlib import Path

DIMSE = 'kind = "dimse"\nhost = "pacs"\nport = 104\ncalled_ae_title = "PACS"\n'
WEB = 'kind = "dicomweb"\nurl = "https://pacs/dicom-web"\n'
FOLDER = 'kind = "folder"\npath = "out"\n'


def settings(folder: Path, destination: str, profile: str = "") -> Settings:
    """Write settings with one destination, and a profile that is called ``mine``."""
    (folder / "destinations").mkdir()
    (folder / "destinations" / "mine.toml").write_text(profile)
    path = folder / "clic-edge.toml"
    path.write_text(f"[destinations.pacs]\n{destination}")
    return load_settings(path)


@pytest.mark.parametrize("destination", [DIMSE, WEB, FOLDER])
def test_without_a_profile_seg_sr_and_summary_go_out_and_nothing_is_asked(
    tmp_path: Path, destination: str
) -> None:
    profile = destination_profile(settings(tmp_path, destination), "pacs")
    assert profile == DestinationProfile()
    assert profile.results == ("seg", "sr", "summary")
    assert (profile.confirm, profile.commitment.way) == ("none", "none")
    assert not profile.rejection_notes


@pytest.mark.parametrize("named", ["mine", "destinations/mine.toml"])
def test_a_profile_is_found_by_its_name_and_by_its_path(tmp_path: Path, named: str) -> None:
    of = settings(tmp_path, f'{DIMSE}profile = "{named}"\n', 'results = ["sc", "pdf"]\n')
    assert destination_profile(of, "pacs").results == ("sc", "pdf")


@pytest.mark.parametrize("name", ["orthanc", "dcm4chee", "legacy", "slides"])
def test_the_profiles_that_ship_are_valid(root: Path, tmp_path: Path, name: str) -> None:
    path = root / "configs" / "destinations" / f"{name}.toml"
    profile = destination_profile(settings(tmp_path, f'{DIMSE}profile = "{path}"\n'), "pacs")
    assert profile.title
    proved = profile.commitment.way != "none" or profile.confirm == "c-find"
    assert proved or name == "slides"  # which is for folders too: they can't be asked


def test_the_profiles_that_ship_lie_where_the_settings_that_ship_look(root: Path) -> None:
    shipped = load_settings(root / "configs" / "clic-edge.toml")
    assert (shipped.appliance.destination_profiles / "orthanc.toml").is_file()


def test_a_profile_that_does_not_exist_is_reported_with_the_nearest(tmp_path: Path) -> None:
    of = settings(tmp_path, f'{DIMSE}profile = "mien"\n')
    with pytest.raises(ConfigError) as caught:
        destination_profile(of, "pacs")
    assert caught.value.code == "unknown-name"
    assert "there is no profile 'mien'; the nearest is 'mine'" in caught.value.sentence


@pytest.mark.parametrize(
    ("written", "code", "expected"),
    [
        ('result = ["seg"]', "unknown-key", "unknown key 'result'; the nearest is 'results'"),
        ('results = ["sge"]', "wrong-value", "'results[1]': should be 'seg'"),
        ("results = []", "wrong-value", "'results': should have at least one value"),
        ('confirm = "maybe"', "wrong-value", "'confirm': should be 'none', 'c-find' or 'qido'"),
        ('[compression]\nseg = "zip"', "wrong-value", "'compression.seg': should be 'none'"),
        ('[commitment]\nways = "none"', "unknown-key", "'commitment.ways'; the nearest is 'way'"),
        ('[commitment]\nway = "own-association"', "wrong-value", "'commitment': needs a 'port'"),
        ("[commitment]\ntimeout_s = 0", "wrong-value", "'commitment.timeout_s': should be greater"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(
    tmp_path: Path, written: str, code: str, expected: str
) -> None:
    of = settings(tmp_path, f'{DIMSE}profile = "mine"\n', written)
    with pytest.raises(ConfigError) as caught:
        destination_profile(of, "pacs")
    assert caught.value.code == code
    assert expected in caught.value.sentence
    assert str(tmp_path / "destinations" / "mine.toml") in caught.value.sentence


COMMITMENT = '[commitment]\nway = "same-association"\n'


@pytest.mark.parametrize(
    ("destination", "profile", "fits"),
    [
        (DIMSE, COMMITMENT, True),
        (DIMSE, 'confirm = "c-find"\n', True),
        (DIMSE, 'confirm = "qido"\n', False),
        (WEB, 'confirm = "qido"\n', True),
        (WEB, 'confirm = "c-find"\n', False),
        (WEB, COMMITMENT, False),
        (FOLDER, "", True),
        (FOLDER, COMMITMENT, False),
        (FOLDER, 'confirm = "c-find"\n', False),
        (FOLDER, 'confirm = "qido"\n', False),
    ],
)
def test_a_destination_is_asked_in_its_own_protocol_only(
    tmp_path: Path, *, destination: str, profile: str, fits: bool
) -> None:
    of = settings(tmp_path, f'{destination}profile = "mine"\n', profile)
    if fits:
        assert isinstance(destination_profile(of, "pacs"), DestinationProfile)
        return
    with pytest.raises(ConfigError) as caught:
        destination_profile(of, "pacs")
    assert caught.value.code == "wrong-value"
    assert "needs a destination of kind" in caught.value.sentence


def test_a_destination_gets_what_it_lists_in_its_own_order() -> None:
    profile = DestinationProfile(results=("summary", "sr", "seg"))
    assert kinds_for(profile, {"seg", "sr", "sc", "summary"}) == ("summary", "sr", "seg")
    assert kinds_for(profile, {"pdf"}) == ()


def test_of_several_encodings_of_the_segments_the_first_that_was_written_goes() -> None:
    profile = DestinationProfile(results=("seg-labelmap", "sr", "seg", "seg-fractional"))
    assert kinds_for(profile, {"seg", "seg-labelmap", "sr"}) == ("seg-labelmap", "sr")
    assert kinds_for(profile, {"seg", "seg-fractional", "sr"}) == ("sr", "seg")
    assert kinds_for(profile, {"seg-fractional"}) == ("seg-fractional",)


def test_all_encodings_go_where_they_are_asked_for() -> None:
    profile = DestinationProfile(results=("seg-fractional", "seg", "seg"), segmentations="all")
    assert kinds_for(profile, {"seg", "seg-fractional"}) == ("seg-fractional", "seg")


@pytest.mark.parametrize("takes", [True, False])
def test_a_rejection_note_goes_where_it_is_taken_and_last(*, takes: bool) -> None:
    profile = DestinationProfile(results=("seg",), rejection_notes=takes)
    expected = ("seg", "rejection") if takes else ("seg",)
    assert kinds_for(profile, {"rejection", "seg"}) == expected


@pytest.mark.parametrize("takes", [True, False])
def test_readers_words_go_where_they_are_taken(*, takes: bool) -> None:
    profile = DestinationProfile(results=("seg",), assessments=takes)
    expected = ("seg", "assessment") if takes else ("seg",)
    assert kinds_for(profile, {"assessment", "seg"}) == expected


def test_a_profile_speaks_of_every_kind_of_result_and_no_other() -> None:
    kinds = {kind.lower() for kind in ResultKind}
    assert {*get_args(Kind), REJECTION, ASSESSMENT} == kinds
    assert kinds > ALTERNATIVES


def test_a_profile_asks_for_no_character_set_that_we_cannot_write() -> None:
    asked = get_args(DestinationProfile.model_fields["character_set"].annotation)
    assert {*asked} == {UTF_8, *CODECS}


def test_a_profile_is_frozen(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[compression]\nseg = "deflated"\n')
    profile = read_toml(DestinationProfile, tmp_path / "p.toml")
    with pytest.raises(TypeError):
        profile.compression["sr"] = "rle"  # type: ignore[index] # as it says
