"""The published schema of ``model.toml`` is what the code reads. Run this file to write it anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clic_edge.inference.declaration import Declaration, read_declaration
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.inference.signing import verify_signature
from clic_edge.inference.testset import replay, require_same

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.parent for path in (ROOT / "models").glob("*/model.toml"))
PAGE = ROOT / "docs" / "reference" / "model-package.schema.json"


def generated() -> str:
    """Return the schema, as pydantic tells it."""
    return json.dumps(Declaration.model_json_schema(), indent=1) + "\n"


def test_the_published_schema_is_what_is_read() -> None:
    assert PAGE.read_text(encoding="utf-8") == generated()


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "src/clic_edge/inference/template/model.toml",
        *(folder / "model.toml" for folder in SHIPPED),
    ],
    ids=lambda path: path.parent.name,
)
def test_what_ships_is_by_the_schema(path: Path) -> None:
    declared = read_declaration(path)
    assert declared.contact
    assert declared.regulatory


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_what_ships_is_signed_and_answers_as_it_was_sealed(folder: Path) -> None:
    assert verify_signature(folder, ROOT / "configs" / "model-keys").signer
    replayed = list(replay(folder, OnnxRuntime.load(folder)))
    assert replayed
    for one in replayed:
        require_same(one)


if __name__ == "__main__":
    PAGE.write_text(generated(), encoding="utf-8")
