"""`kyanite exec` and `kyanite env`: programs written for Azure reach this workspace under Azure's names."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.session import Session, pass_session
from kyanite.errors import UserError

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_NOT_FOUND, _NOT_STARTED = 127, 126

network_option = click.option(
    "--allow-network", is_flag=True, help="Let the program also reach hosts that are not in this workspace."
)


@command(
    "exec",
    short_help="Run a program for which Azure's host names lead to this workspace.",
    examples=[
        ("an unmodified script", "kyanite exec -- python upload.py"),
        ("one that also needs the internet", "kyanite exec --allow-network -- ./nightly.sh"),
        (
            "any program that honours HTTPS_PROXY",
            "kyanite exec -- curl https://myaccount.blob.core.windows.net/public/a.csv",
        ),
    ],
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@network_option
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@pass_session
def execute(session: Session, allow_network: bool, program: tuple[str, ...]) -> int:
    """Run COMMAND; the exit code is its own (128 + the signal's number when one ended it).

    https://ACCOUNT.blob.core.windows.net and the like reach the accounts of this workspace, and managed identity gives
    tokens. It works by environment variables: nothing is installed and no file outside the workspace is changed.
    """
    gateway = session.gateway()
    return run_program(program, program_environment(gateway.environment(network=allow_network)))


@command(
    "env",
    short_help="Print what `kyanite exec` sets, for a shell.",
    examples=[
        ('for this shell, while `kyanite serve` runs: eval "$(kyanite env)"', "kyanite env"),
        ("with the connection string of a storage account", "kyanite env --account myaccount"),
        ("for PowerShell: kyanite env --shell powershell | Invoke-Expression", "kyanite env --shell powershell"),
    ],
)
@network_option
@click.option("--account", metavar="NAME", help="Also AZURE_STORAGE_CONNECTION_STRING of this storage account.")
@click.option(
    "--shell",
    type=click.Choice(["sh", "fish", "powershell", "dotenv"]),
    default="sh",
    show_default=True,
    help="How to write it.",
)
@json_option
@pass_session
def environment(session: Session, allow_network: bool, account: str | None, shell: str) -> None:
    """Print the variables with which programs of a shell reach this workspace under Azure's names.

    The output holds secrets: it is for a shell to read. It is of use while `kyanite serve` runs.
    """
    import json

    gateway = session.gateway()
    found = gateway.environment(network=allow_network)
    if gateway.listens:
        session.echo("nobody listens yet: start `kyanite serve`", err=True)
    if account is not None:
        found["AZURE_STORAGE_CONNECTION_STRING"] = _connection_string(session, account)
    if session.as_json:
        click.echo(json.dumps(found, indent=2))
        return
    # these secrets are what the command is for; everything else we print is masked
    for name, value in found.items():
        click.echo(_WRITTEN[shell](name, value))


def program_environment(told: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: ours, without Azure credentials of elsewhere, and what it is told."""
    from kyanite.server.trust import NOT_PASSED_ON

    return {**{name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}, **told}


def run_program(program: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a program to its end in our place: signals reach it, its exit code is ours."""
    with _signals_forwarded() as forwarding:
        try:
            process = subprocess.Popen(list(program), env=dict(variables))
        except FileNotFoundError as missing:
            raise ProgramError(f"There is no program '{program[0]}'.", _NOT_FOUND) from missing
        except OSError as problem:
            raise ProgramError(f"'{program[0]}' cannot be started: {problem.strerror}.", _NOT_STARTED) from problem
        forwarding.to(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


class _Forwarding:
    """Passes signals on to a program; those that come before it has started reach it then."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[Any] | None = None
        self._early: list[int] = []

    def to(self, process: subprocess.Popen[Any]) -> None:
        """The program that gets the signals from now on."""
        self._process = process
        while self._early:
            process.send_signal(self._early.pop(0))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # Ctrl-C goes from the terminal to the whole foreground group: the program has had it already
        if number in _FROM_TERMINAL and _in_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


class ProgramError(UserError):
    """A program cannot be started; the exit code is the one that shells give."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]


@contextmanager
def _signals_forwarded() -> Iterator[_Forwarding]:
    """Signals are passed on for the length of a `with`; what is ignored (nohup) stays ignored, by the program too."""
    forwarding = _Forwarding()
    before = {
        number: signal.signal(number, forwarding)
        for number in _FORWARDED
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield forwarding
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:  # noqa: PTH123 - the terminal, whatever stdin is
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _connection_string(session: Session, name: str) -> str:
    from kyanite.errors import NotFoundError

    found = session.workspace().accounts.get(name)
    if found is None:
        raise NotFoundError(f"There is no storage account '{name}'.", cure="`kyanite storage account list` shows them.")
    key = found.keys[0]
    return f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey={key};EndpointSuffix=core.windows.net"


def _powershell(name: str, value: str) -> str:
    quoted = value.replace("'", "''")
    return f"$env:{name} = '{quoted}'"


_WRITTEN: dict[str, Callable[[str, str], str]] = {
    "dotenv": lambda name, value: f"{name}={value}",
    "fish": lambda name, value: f"set -gx {name} {shlex.quote(value)}",
    "powershell": _powershell,
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
}
