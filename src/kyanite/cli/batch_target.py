"""What the commands of `kyanite batch` share: the account they mean, its documents, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kyanite.cli.command import json_option
from kyanite.cli.documents import read_object
from kyanite.cli.output import print_table
from kyanite.cli.session import Session, pass_session
from kyanite.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from kyanite.batch.service import BatchService

R = TypeVar("R")
Json = dict[str, Any]
Column = tuple[str, Callable[[Json], str]]  # (heading, its cell of a document)

account_option = click.option("--account", metavar="NAME", help="The Batch account; needed when there are several.")
file_option = click.option(
    "--file", "file", metavar="FILE", type=click.Path(path_type=Path), help="A JSON file: the body of the REST call."
)
DEALLOCATION = ("requeue", "terminate", "taskcompletion", "retaineddata")


class Target:
    """An account of the workspace and the service that holds it; `base` is the address in its documents."""

    def __init__(self, session: Session, account: str | None) -> None:
        self.session = session
        self.service: BatchService = session.workspace().batch
        self.account = chosen_account(session, account)
        self.base = self.service.account(self.account).url.rstrip("/")


def on_account(work: Callable[..., R]) -> Callable[..., R]:
    """For a command that works on a Batch account: --account, --json, and the `Target` as its first argument."""

    def command(session: Session, /, account: str | None, **given: Any) -> R:
        return work(Target(session, account), **given)

    update_wrapper(command, work)
    return account_option(json_option(pass_session(command)))


def chosen_account(session: Session, given: str | None) -> str:
    """The account a command means: the given one, else the only one there is."""
    service = session.workspace().batch
    if given is not None:
        return service.account(given).name
    names = [account.name for account in service.accounts()]
    if not names:
        raise NotFoundError(
            "The workspace has no Batch account.",
            where=str(session.home_path),
            cure="Make one: kyanite batch account create NAME",
        )
    if len(names) > 1:
        raise ConflictError("There are several Batch accounts.", cure=f"Name one with --account: {', '.join(names)}.")
    return names[0]


def body(file: Path | None, **given: Any) -> Json:
    """The document of a file, if any, with the options that were given in the place of its members."""
    document = read_object(file) if file is not None else {}
    return document | {name: value for name, value in given.items() if value is not None and value != ()}


def pairs(texts: Sequence[str], option: str) -> list[Json] | None:
    """`name=value` options as the service's list of names and values; None when there are none."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} takes NAME=VALUE, not '{text}'.")
        found.append({"name": name, "value": value})
    return found or None


def duration(seconds: float | None) -> str | None:
    """Seconds as the service writes a duration."""
    return None if seconds is None else "PT" + f"{seconds:.6f}".rstrip("0").rstrip(".") + "S"


def show_list(
    session: Session, documents: Iterable[Json], columns: Sequence[Column], *, right: Sequence[str] = (), none: str
) -> None:
    """Documents as JSON or as a table."""
    found = list(documents)
    if session.as_json:
        session.print_json(found)
    elif not found:
        session.echo(none)
    else:
        headings = [heading for heading, _ in columns]
        print_table(session, headings, [[cell(item) for _, cell in columns] for item in found], right=right)


def show_one(session: Session, document: Json, rows: Iterable[tuple[str, str]]) -> None:
    """A document as JSON or as lines of name and value; empty values are left out."""
    if session.as_json:
        session.print_json(document)
        return
    kept = [(name, value) for name, value in rows if value]
    width = max(len(name) for name, _ in kept)
    for name, value in kept:
        session.echo(f"{name:<{width}}  " + value.replace("\n", "\n" + " " * (width + 2)))


def told(session: Session, document: Json | None, sentence: str) -> None:
    """What was done: the new document as JSON, or one sentence."""
    if session.as_json:
        session.print_json(document if document is not None else {})
    else:
        session.echo(sentence)


def cell(*names: str) -> Callable[[Json], str]:
    """A column that shows a member, found by its names from the outside to the inside."""

    def read(document: Json) -> str:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return read


def time_cell(*names: str) -> Callable[[Json], str]:
    """A column that shows a time to the second."""
    read = cell(*names)
    return lambda document: read(document)[:19].replace("T", " ")
