"""The certificate of a series says what the clean images say, under the site's key, and names nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, make_datasets, ramp, series_of

from clic_edge.deid import BASIC, DeidKey, Profile, certified, deidentify
from clic_edge.deid.certificate import public_key
from clic_edge.deid.series_certificate import is_signed_by

if TYPE_CHECKING:
    from clic_edge.domain.clean import SeriesCertificate

KEY = DeidKey(b"one key of thirty-two bytes, yes")
OTHER_KEY = DeidKey(b"another key of thirty-two bytes!")


def _of(profile: Profile) -> SeriesCertificate:
    series = series_of(make_datasets(canary_stack(), ramp((3, 4, 6))))
    pseudonym = KEY.pseudonym(series.patient_id, series.issuer_of_patient_id)
    return certified(deidentify(series, profile, pseudonym), profile, KEY, case_id="c1")


@pytest.fixture(scope="module")
def basic() -> SeriesCertificate:
    return _of(BASIC)


@pytest.mark.parametrize(
    ("profile", "codes"),
    [
        (BASIC, ["113100"]),
        (Profile(name="kept", options=frozenset({"retain_uids"})), ["113100", "113110"]),
        (Profile(name="looked at", pixels="redact-all"), ["113100", "113101"]),
    ],
    ids=lambda one: one.name if isinstance(one, Profile) else "",
)
def test_the_methods_are_counted_in_the_clean_images(profile: Profile, codes: list[str]) -> None:
    made = _of(profile)
    assert [(one.code, one.instances) for one in made.methods] == [(code, 3) for code in codes]
    assert (made.profile, made.policy_digest) == (profile.name, profile.digest)


def test_a_certificate_holds_nothing_of_the_patient(basic: SeriesCertificate) -> None:
    assert (basic.subject_id[:3], basic.checks) == ("CE-", ("residue",))
    told = repr(basic)
    assert not [one for one in (CANARY.patient_id, CANARY.study_instance_uid) if one in told]


def test_what_was_changed_or_signed_by_another_is_found_out(basic: SeriesCertificate) -> None:
    assert is_signed_by(basic, public_key(KEY))
    assert not is_signed_by(basic, public_key(OTHER_KEY))
    for changed in ({"faces": "deface"}, {"methods": ()}, {"made_at": ""}, {"signature": "00"}):
        assert not is_signed_by(replace(basic, **changed), public_key(KEY))


def test_the_same_series_is_certified_the_same_but_for_the_moment(
    basic: SeriesCertificate,
) -> None:
    again = _of(BASIC)
    assert replace(again, made_at="", signature="") == replace(basic, made_at="", signature="")
