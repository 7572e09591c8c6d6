"""Who may import whom. This table is the only place where it is written down."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from every import every
from source import MODULES, Module

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYTHING = {"*"}
VALUES = {"errors", "domain"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "domain": VALUES,
    "config": {"errors"},
    "telemetry": {"errors"},
    "beside": {"errors", "ledger", "telemetry"},
    "dicom": VALUES,
    "inference": VALUES,
    "pacs": VALUES | {"dicom"},
    "ledger": VALUES,
    "drift": VALUES,
    "board": VALUES | {"config", "ledger", "drift"},
    "drawing": VALUES,
    "reporting": VALUES | {"beside", "board", "config", "drawing", "drift", "ledger", "telemetry"},
    "deid": VALUES | {"dicom"},
    "results": VALUES | {"dicom"},
    "validation": VALUES | {"inference"},
    "training": VALUES | {"config", "inference", "validation"},
    "notify": VALUES | {"beside", "config", "ledger", "telemetry"},
    "pipeline": VALUES
    | {"config", "telemetry", "deid", "dicom", "drift", "inference", "ledger", "pacs", "results"},
    "constancy": VALUES
    | {"beside", "config", "deid", "dicom", "drawing", "drift", "inference", "ledger", "pacs"}
    | {"pipeline", "reporting", "results", "telemetry"},
    "accounting": VALUES | {"beside", "config", "ledger", "pacs", "pipeline", "telemetry"},
    "support": VALUES | {"ledger", "pacs", "telemetry"},
    "retraining": VALUES
    | {"config", "deid", "dicom", "inference", "ledger", "pacs", "pipeline", "results"}
    | {"training", "validation"},
    "conformance": VALUES | {"config", "drawing", "pacs", "reporting"},
    "backup": VALUES | {"config", "deid", "ledger"},
    "accounts": VALUES | {"config", "ledger"},
    "web": VALUES
    | {"accounts", "board", "config", "drawing", "drift", "ledger", "pacs", "pipeline"}
    | {"reporting"},
    "metrics": VALUES | {"drift", "ledger"},
    "app": EVERYTHING,
    "assembly": EVERYTHING,
    "transports": EVERYTHING,
    "plugin": EVERYTHING,
    "readiness": EVERYTHING,  # it asks each part whether it is ready
    "cli": EVERYTHING,
    "demo": EVERYTHING,
    "__main__": EVERYTHING,
    "__init__": set(),
}
"""Each package may also import itself."""

KNOWS_THE_PATIENT = {"clic_edge.domain.study", "clic_edge.domain.result"}
MUST_NOT_KNOW = {
    "inference",
    "drift",
    "metrics",
    "telemetry",
    "validation",
    "training",
    "notify",
    "ledger.predictions",
    "ledger.periods",
    "board.report",
    "board.post_market",
    "drawing",
    "reporting",
}

SEAMS = {
    "clic_edge.inference.runtime",
    "clic_edge.results.writer",
    "clic_edge.pacs.transport",
}
IMPLEMENTATIONS = {
    "clic_edge.inference.application",
    "clic_edge.inference.bundle",
    "clic_edge.inference.kserve",
    "clic_edge.inference.onnx",
    "clic_edge.inference.torch",
    "clic_edge.results.seg",
    "clic_edge.results.sr",
    "clic_edge.pacs.orthanc",
    "clic_edge.pacs.rest",
    "clic_edge.pacs.association",
    "clic_edge.pacs.commitment",
    "clic_edge.pacs.dimse",
    "clic_edge.pacs.dicomweb",
    "clic_edge.pacs.folder",
    "clic_edge.pacs.content",
    "clic_edge.pacs.holdings",
}

ONLY_IN: dict[str, set[str]] = {
    "highdicom": {"results"},
    "onnxruntime": {"inference.onnx"},
    "wsidicom": {"dicom.slide_tiles"},
    "upath": {"dicom.slide_tiles"},
    "torch": {"inference.confined", "training"},
    "monai": {"inference.confined", "training"},
    "pynetdicom": {"pacs"},
    "dicomweb_client": {"pacs"},
    "requests": {"pacs"},
    "httpx": {
        *("accounts", "notify.webhook", "pacs", "inference.model_server", "demo", "web.install"),
    },
    "sqlalchemy": {"ledger", "app", "pipeline.queue", "pipeline.worker"},
    "dbos": {"pipeline.queue", "pipeline.worker"},
    "argon2": {"accounts"},
    "joserfc": {"accounts"},
    "typer": {"cli"},
    "fastapi": {"web", "cli.web"},
    "starlette": {"web"},
    "jinja2": {"web"},
    "markupsafe": {"web"},
    "uvicorn": {"cli.web"},
}
"""Libraries that stay behind one door."""


def imports(module: Module) -> Iterator[str]:
    """Yield every module that a module imports, also inside functions and for type checking."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lies_in(module: Module, places: set[str]) -> bool:
    return any(module.name == place or module.name.startswith(f"{place}.") for place in places)


@every(MODULES)
def test_a_package_imports_only_what_the_table_allows(module: Module) -> None:
    allowed = MAY_IMPORT[module.package] | {module.package}
    ours = {name.split(".")[1] for name in imports(module) if name.startswith("clic_edge.")}
    packages = ours & (MAY_IMPORT.keys() | {"domain"})
    assert "*" in allowed or packages <= allowed, packages - allowed


@every(MODULES)
def test_what_works_on_clean_values_cannot_name_a_patient(module: Module) -> None:
    if lies_in(module, MUST_NOT_KNOW):
        assert not KNOWS_THE_PATIENT & set(imports(module))


@every(MODULES)
def test_the_pipeline_knows_seams_and_no_implementation(module: Module) -> None:
    if module.package == "pipeline":
        assert not IMPLEMENTATIONS & set(imports(module))


@every(MODULES)
def test_a_library_stays_behind_its_door(module: Module) -> None:
    for name in imports(module):
        places = ONLY_IN.get(name.split(".")[0])
        assert places is None or lies_in(module, places), name


def test_the_table_names_every_package_and_no_other() -> None:
    assert {module.package for module in MODULES} == set(MAY_IMPORT)


def test_the_seams_and_their_implementations_exist() -> None:
    names = {f"clic_edge.{module.name}" for module in MODULES}
    assert names >= SEAMS | IMPLEMENTATIONS
