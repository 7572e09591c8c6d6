"""The budgets of the architecture. One is changed by a decision record, never by an ignore."""

from __future__ import annotations

import ast
import re
from statistics import quantiles

from every import every
from source import MODULES, PLUGIN, ROOT, Module

MODULE_LINES = 400
FUNCTION_LINES = 50
FUNCTION_LINES_P90 = 25
PARAMETERS = 6
POSITIONAL = 3

HANDLER_OF_EVERYTHING = {
    *("pipeline.process", "pipeline.worker", "pipeline.presence", "beside"),
    "plugin",
}
"""The worker with its threads, none of which may end unnoticed, and the plugin's callbacks."""

IMPOSED = {"_tell_warning"}
"""Callbacks whose signature the standard library prescribes."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
ALL = [*MODULES, PLUGIN]


def functions(module: Module) -> list[Function]:
    return [node for node in ast.walk(module.tree) if isinstance(node, Function)]


def lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def own_parameters(function: Function) -> tuple[list[str], list[str]]:
    """Return positional and keyword-only parameters without self and cls."""
    positional = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    if positional[:1] in (["self"], ["cls"]):
        positional = positional[1:]
    return positional, [a.arg for a in function.args.kwonlyargs]


@every(ALL)
def test_a_module_is_short(module: Module) -> None:
    assert len(module.text.splitlines()) <= MODULE_LINES


@every(ALL)
def test_a_function_is_short(module: Module) -> None:
    assert [f.name for f in functions(module) if lines(f) > FUNCTION_LINES] == []


def test_nine_in_ten_functions_of_the_tree_are_very_short() -> None:
    lengths = [lines(f) for module in ALL for f in functions(module)]
    assert quantiles(lengths, n=10)[-1] <= FUNCTION_LINES_P90


@every(ALL)
def test_a_function_takes_few_parameters_and_names_those_beyond_the_third(
    module: Module,
) -> None:
    for function in functions(module):
        if function.name in IMPOSED:
            continue
        positional, named = own_parameters(function)
        assert len(positional) + len(named) <= PARAMETERS, function.name
        assert len(positional) <= POSITIONAL, function.name


@every(ALL)
def test_an_error_of_any_kind_is_caught_by_the_worker_and_the_plugin_only(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            everything = {"everything", "Exception", "BaseException"} & set(
                re.findall(r"\w+", caught)
            )
            assert not everything or module.name in HANDLER_OF_EVERYTHING, node.lineno


@every(ALL)
def test_an_ignore_names_its_rule_and_its_reason(module: Module) -> None:
    for number, line in enumerate(module.text.splitlines(), 1):
        if "# noqa" in line:
            assert re.search(r"# noqa: [A-Z0-9, ]+ - \S", line), f"line {number}"
        if "# type: ignore" in line:
            assert re.search(r"# type: ignore\[[\w, -]+\] +# \S", line), f"line {number}"


@every(ALL)
def test_nothing_is_any(module: Module) -> None:
    names = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    assert "Any" not in names


def test_every_argued_exception_of_the_linter_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pydocstyle]")]
    for line in lint.splitlines():
        if re.match(r'    "[A-Z]+[0-9]*",', line):
            assert re.search(r"# \S", line), line
