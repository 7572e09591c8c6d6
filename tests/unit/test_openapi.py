"""What `docs/reference/openapi.json` says of the API is what the code says.

The page is written anew by `python tests/unit/test_openapi.py`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import schemathesis
from starlette.routing import Mount

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a program
from logins import CHEAP
from pages import appliance_in
from sites import ROOT

from clic_edge.cli.web import application
from clic_edge.web.api import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

PAGE = ROOT / "docs/reference/openapi.json"
NO_VALUES = {
    *("/health", "/viewer/app-config.js", "/viewer/boot.js", "/viewer/{path:path}"),
    *("/dicom-web/{path:path}", "/open/{case_id}"),
    *("/login", "/login/language", "/"),
}
"""Pages for which the API has none, or one by another name: `/` is `overview`."""


def application_in(folder: Path) -> FastAPI:
    return application(appliance_in(folder, web=""), CHEAP)


def generated(app: FastAPI) -> str:
    """Return the description."""
    (api,) = (one.app for one in app.routes if isinstance(one, Mount) and one.path == PATH)
    described = api.openapi()  # type: ignore[attr-defined]  # a FastAPI
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return application_in(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def described() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    said: dict[str, dict[str, dict[str, dict[str, object]]]] = json.loads(PAGE.read_text("utf-8"))
    return said


def test_the_description_is_what_the_code_answers(app: FastAPI) -> None:
    assert PAGE.read_text("utf-8") == generated(app)


def test_the_description_is_openapi(described: dict[str, object]) -> None:
    assert str(described["openapi"]).startswith("3.1")
    schemathesis.openapi.from_dict(described).validate()


def test_every_operation_says_what_it_does_for_whom_and_how_it_fails(
    described: dict[str, dict[str, dict[str, dict[str, object]]]],
) -> None:
    operations = [one for methods in described["paths"].values() for one in methods.values()]
    for one in operations:
        assert one["summary"], one
        assert one["description"], one
        assert one["tags"], one
        assert one["security"] == [{"token": []}, {"session": []}]
        responses = json.loads(json.dumps(one["responses"]))
        for status in ("401", "403", "404", "409", "422", "503"):
            schema = responses[status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, status
    names = [str(one["operationId"]) for one in operations]
    assert len(set(names)) == len(names)
    assert set(described["components"]["schemas"]["Problem"]["required"]) == {"code", "sentence"}  # type: ignore[call-overload]  # JSON


def test_what_a_page_shows_a_program_gets_too(
    app: FastAPI, described: dict[str, dict[str, object]]
) -> None:
    shown = {path for path in pages(app) if path not in NO_VALUES}
    assert {"/cases", "/models/{model_id}/{digest}/window", "/audit/export.csv"} <= shown
    assert shown <= described["paths"].keys()


def pages(app: FastAPI) -> Iterator[str]:
    """Yield the path of every page that is looked at."""
    for route in app.routes:
        for one in getattr(getattr(route, "original_router", None), "routes", ()):
            if "GET" in one.methods:
                yield one.path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(generated(application_in(Path(made))), encoding="utf-8")
