from __future__ import annotations

import pytest
from servers import require


@pytest.fixture(autouse=True)
def _nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "CLIC_EDGE_REQUIRE_SERVERS"):
        monkeypatch.delenv(name, raising=False)


def test_an_absent_server_skips_the_test_and_says_which() -> None:
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        require("no-such-server")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("CLIC_EDGE_REQUIRE_SERVERS", "1")])
def test_an_absent_server_fails_the_test_where_servers_must_be_there(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        require("no-such-server")
