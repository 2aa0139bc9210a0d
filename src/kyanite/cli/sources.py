"""Factories to check: a git folder, an ARM template, a deployed one - and all that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kyanite.cli.factories import chosen_factory
from kyanite.cli.session import Session
from kyanite.definitions.model import Factory
from kyanite.definitions.problem import Problem


def load_git_folder(folder: Path, name: str | None = None) -> Factory:
    """The factory in a git folder; what is wrong with its files is in its `problems`."""
    from kyanite.definitions.load import load_folder
    from kyanite.runtime.workspace import read_folder

    return load_folder(read_folder(folder), name)


def all_problems(factory: Factory) -> list[Problem]:
    """What was found while reading the factory and what the check finds."""
    from kyanite.definitions.check import check
    from kyanite.runtime.supported import supported

    found = [*factory.problems, *check(factory, supported=supported())]
    return list(dict.fromkeys(found))


def problems_of_folder(folder: Path) -> list[Problem]:
    """All that is wrong in a git folder."""
    return all_problems(load_git_folder(folder))


def problems_of_deployed(session: Session, name: str | None) -> list[Problem]:
    """All that is wrong in a deployed factory."""
    return all_problems(chosen_factory(session, name))


def problems_of_template(template: Path, assignments: Sequence[str], parameters_file: Path | None) -> list[Problem]:
    """All that is wrong in the factories of an ARM template; keys that `listKeys` asks for are made up."""
    raise NotImplementedError
