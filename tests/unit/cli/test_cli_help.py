"""Help texts: complete, with examples that parse, cheap to print."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from kyanite.cli.main import COMMANDS, root
from kyanite.cli.reference import help_of, render, walk
from kyanite.cli.session import Session

ALL = dict(walk())


def test_every_command_is_reached() -> None:
    assert {path.split()[1] for path in ALL if " " in path} == set(COMMANDS)
    assert {"kyanite runs resume", "kyanite storage put"} <= set(ALL)


@pytest.mark.parametrize("path", ALL)
def test_help_has_a_text_and_examples(path: str) -> None:
    text = help_of(path, ALL[path])
    assert "\nExamples:\n" in text
    assert ALL[path].help
    assert "--home DIR" in text
    assert "--no-color" in text


@pytest.mark.parametrize("path", ALL)
def test_examples_are_command_lines_that_parse(path: str) -> None:
    examples = ALL[path].examples
    assert examples
    for _, line in examples:
        words = shlex.split(line)
        assert " ".join(words).startswith(path)
        command: click.Command = root
        words = words[1:]
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, line
            command = found
        command.make_context(command.name, words, parent=click.Context(root, obj=Session()))


def test_the_table_says_what_the_commands_say() -> None:
    for name, (_, short) in COMMANDS.items():
        assert ALL[f"kyanite {name}"].short_help == short


def test_the_page_of_commands_is_current(repository: Path) -> None:
    page = repository / "docs" / "how-to" / "command-line.md"
    assert page.read_text(encoding="utf-8") == render(), "run: python -m kyanite.cli.reference > " + page.name
