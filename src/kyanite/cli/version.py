"""`kyanite version`: what runs here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from importlib.resources import files

from kyanite._version import __version__
from kyanite.cli.command import command, json_option
from kyanite.cli.output import print_table
from kyanite.cli.session import Session, pass_session

PACKAGES = ("click", "obstore", "psutil", "pyarrow", "rich")


@command(
    "version",
    short_help="Show versions.",
    examples=[
        ("all versions as a table", "kyanite version"),
        ("for a script", "kyanite version --json"),
    ],
)
@json_option
@pass_session
def version(session: Session) -> None:
    """Show the versions of kyanite, Python, the libraries it stands on and the workspace schema."""
    found = versions()
    if session.as_json:
        session.print_json(found)
    else:
        print_table(session, ["component", "version"], [[name, text] for name, text in found.items()])


def versions() -> dict[str, str]:
    """Name -> version of everything that decides how kyanite behaves."""
    found = {"kyanite": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = installed(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["workspace schema"] = schema_version()
    return found


def schema_version() -> str:
    """The number of the newest database migration this version knows."""
    folder = files("kyanite.database") / "migrations"
    numbers = sorted(entry.name.partition("_")[0] for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return numbers[-1] if numbers else "none"
