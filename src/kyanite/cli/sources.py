"""Factories to check: a git folder, an ARM template, a deployed one - and all that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kyanite.cli.documents import read_object
from kyanite.cli.factories import chosen_factory
from kyanite.cli.parameters import gather
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
    from kyanite.runtime.check import check_factory

    return list(dict.fromkeys([*factory.problems, *check_factory(factory)]))


def problems_of_folder(folder: Path) -> list[Problem]:
    """All that is wrong in a git folder."""
    return all_problems(load_git_folder(folder))


def problems_of_deployed(session: Session, name: str | None) -> list[Problem]:
    """All that is wrong in a deployed factory."""
    return all_problems(chosen_factory(session, name))


def problems_of_template(template: Path, assignments: Sequence[str], parameters_file: Path | None) -> list[Problem]:
    """All that is wrong in the factories of an ARM template; the keys that `listKeys` asks for are made up."""
    from kyanite.cli.deploy import template_types
    from kyanite.definitions.arm import evaluate_template, factories_of
    from kyanite.definitions.arm_environment import Environment

    document = read_object(template, comments=True)
    parameters = gather(assignments, parameters_file, template_types(document))
    environment = Environment(list_keys=lambda *_: ("key-of-no-account-1", "key-of-no-account-2"))
    factories = factories_of(evaluate_template(document, parameters, environment))
    if not factories:
        return [Problem("warning", "NoFactory", str(template), "", "The template holds no data factory.", "")]
    return [
        replace(problem, file=f"{template} {problem.file}")
        for factory in factories.values()
        for problem in all_problems(factory)
    ]
