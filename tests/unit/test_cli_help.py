"""`docs/reference/cli.md` is what ``--help`` says. Run this file to write the page anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a program
from command_tree import commands, help_text, options
from every import every

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
HEAD = """\
# Command line

What `--help` says, on one page.
It is generated: `.venv/bin/python tests/unit/test_cli_help.py` writes it anew, and a test compares.

Options before the command hold for every command: `clic-edge --debug -c FILE cases list`.
Errors are one plain sentence on standard error, with a code that [errors](errors.md) explains.

| exit code | meaning |
|---|---|
| 0 | done |
| 2 | usage or configuration |
| 3 | refused |
| 4 | try again later |
| 5 | quarantined |
"""
COMMANDS = commands()


def generated() -> str:
    """Return the page."""
    sections = (
        f"## `{' '.join(('clic-edge', *words))}`\n\n```text\n{help_text(words, command).strip()}\n```\n"
        for words, command in commands().items()
    )
    return "\n".join([HEAD, *sections])


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == generated()


@every(COMMANDS, named=" ".join)
def test_every_command_and_option_is_explained(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help
    assert all(param.help for param in command.params), [p.name for p in command.params]


@every(COMMANDS, named=" ".join)
def test_an_example_runs_the_command_that_it_explains(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    for example in re.findall(r"Example: `clic-edge ([^`]+)`", command.help or ""):
        assert " ".join(words) in example
        assert set(re.findall(r"(--[a-z-]+)", example)) <= options(command)


if __name__ == "__main__":
    PAGE.write_text(generated(), encoding="utf-8")
