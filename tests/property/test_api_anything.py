"""Every operation of the API, asked as its description allows and as it does not.

As a program, `python tests/property/test_api_anything.py SECONDS` asks on with other values.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import ignored_auth
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a program
from filled_sites import PATHS, fill_site
from logins import ADMINISTRATOR, CHEAP
from pages import appliance_in
from sites import ROOT

from clic_edge.accounts.door import Door, TokenUse
from clic_edge.cli.web import application
from clic_edge.domain.account import Role
from clic_edge.web.api import PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import APIOperation, Case

    from clic_edge.app import Appliance

DESCRIBED = json.loads((ROOT / "docs/reference/openapi.json").read_text("utf-8"))
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED)
HERE = "http://localhost"
pytestmark = pytest.mark.slow
OPERATIONS = sorted(
    (path, method, operation["operationId"])
    for path, methods in DESCRIBED["paths"].items()
    for method, operation in methods.items()
)


@contextmanager
def program_at(folder: Path) -> Iterator[TestClient]:
    """Yield a program with an administrator's token, at pages over a ledger with a month in it."""
    appliance = appliance_in(folder, web="")
    fill_site(appliance)
    with TestClient(application(appliance, CHEAP), base_url=HERE) as program:
        program.headers["Authorization"] = f"Bearer {token_of(appliance)}"
        yield program


def token_of(appliance: Appliance) -> str:
    """Return a token of the administrator's."""
    now = datetime.now(UTC)
    use = TokenUse(label="test", role=Role.ADMINISTRATOR, expires_at=now + timedelta(days=1))
    record = appliance.ledger.accounts.named(ADMINISTRATOR)
    return Door(appliance.ledger).new_token(record, use, by="the test", now=now)


def asking(
    program: TestClient, path: str, method: str, *, examples: int, number: int
) -> Callable[[], None]:
    """Return what asks one operation: well, wrongly, and of what the ledger has."""
    operation: APIOperation = SCHEMA[path][method]
    known = {name: value for name, value in PATHS.items() if f"{{{name}}}" in path}
    if "{alarm_id}" in path:
        known["alarm_id"] = program.get(f"{PATH}/alarms?state=all").json()["alarms"][0]["alarm"][
            "alarm_id"
        ]
    cases = [
        operation.as_strategy(GenerationMode.POSITIVE),
        operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known),
        operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=known),
    ]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=st.one_of(cases))
    def ask(case: Case) -> None:
        sent = case.as_transport_kwargs(base_url=f"{HERE}{PATH}")
        sent.pop("cookies", None)
        sent["content"] = sent.pop("data", None)
        sent["headers"] = {**sent["headers"], **program.headers}
        # A good token goes with every request, and there is no archive for pictures.
        known_not_to_hold = [ignored_auth, *([not_a_server_error] if "/pictures/" in path else [])]
        answer = program.request(**sent)
        assert answer.status_code == 503 or not answer.is_server_error
        case.validate_response(answer, excluded_checks=known_not_to_hold)

    return ask


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with program_at(tmp_path_factory.mktemp("site")) as program:
        yield program


@pytest.mark.parametrize(
    ("path", "method"), [one[:2] for one in OPERATIONS], ids=[one[2] for one in OPERATIONS]
)
def test_an_operation_answers_as_its_description_says(
    program: TestClient, path: str, method: str
) -> None:
    asking(program, path, method, examples=6, number=1)()


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_body_of_arrays_in_arrays_is_answered_by_name(program: TestClient, depth: int) -> None:
    head = {"Content-Type": "application/json"}
    answer = program.post(f"{PATH}/annotations", content="[" * depth, headers=head)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"].startswith("request-")


def main(seconds: float) -> None:
    """Ask for so long, each round with other values."""
    end, number = time.monotonic() + seconds, secrets.randbelow(2**32)
    with tempfile.TemporaryDirectory() as folder, program_at(Path(folder)) as program:
        while time.monotonic() < end:
            number += 1
            for path, method, _ in OPERATIONS:
                asking(program, path, method, examples=50, number=number)()


if __name__ == "__main__":
    main(float(sys.argv[1]))
