"""A task's command line -> the arguments of the process to start, on a POSIX host.

A command line is not run by a shell unless its author wrote one. `cmd /c ...`, the Windows way of asking for a shell,
becomes `/bin/sh -c ...` so that definitions made for Windows pools run here.
"""

from __future__ import annotations

import re
import shlex

from kyanite.errors import BatchError

_CMD = re.compile(
    r"""(?:"?%comspec%"?|"?(?:[^\s"]*[\\/])?cmd(?:\.exe)?"?)   # the shell, with or without its folder
        (?:\s+/(?!c)[a-z](?::\w+)?)*                              # other switches: /s /q /d /v:on
        \s+/c(?P<text>.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_VARIABLE = re.compile(r"%([A-Za-z_]\w*)%")


def parse_command_line(command_line: str) -> tuple[str, ...]:
    """The argument list; blanks at both ends are dropped. BatchError when empty or when a quote is never closed."""
    text = command_line.strip()
    if not text:
        raise BatchError(
            "The command line is empty.",
            cure="Give the program to run, for example `python main.py`.",
            code="InvalidPropertyValue",
        )
    shell = _CMD.fullmatch(text)
    if shell:
        return ("/bin/sh", "-c", _translate(shell["text"].strip()))
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BatchError(
            f"The command line cannot be split into arguments: {error}.",
            cure="Close the quote, or write a quote character as \\' or \\\".",
            code="InvalidPropertyValue",
        ) from error


def _translate(text: str) -> str:
    """The text after `cmd /c` for `sh`: outer quotes dropped as cmd does; `%NAME%`, `&` and backslashes rewritten.

    Like in cmd, a variable that is not set stays as it is written.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not text.strip():
        raise BatchError("`cmd /c` is given no command.", code="InvalidPropertyValue")
    return _outside_quotes(_VARIABLE.sub(r"${\1-%\1%}", text))


def _outside_quotes(text: str) -> str:
    """A single `&` runs one command after the other: `;` in sh. A backslash within a path separates folders."""
    pieces = re.split(r"""("[^"]*"|'[^']*')""", text)
    plain = re.compile(r"(?<![&>])&(?![&\d>])")
    separator = re.compile(r"(?<=[\w.}])\\(?=[\w.$])")
    return "".join(
        piece if place % 2 else separator.sub("/", plain.sub(";", piece)) for place, piece in enumerate(pieces)
    )
