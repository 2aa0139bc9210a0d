"""The entry: runs a command and turns whatever goes wrong into one clear message and an exit code.

0 it worked; 1 the operation failed; 2 the command line is wrong; 70 a defect of ours; 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from kyanite._version import __version__
from kyanite.cli.command import Group
from kyanite.cli.session import Session, silence, visible
from kyanite.errors import ExpressionError, KyaniteError, UserError

EXIT_FAILED = 1
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130

COMMANDS = {
    "audit": ("kyanite.cli.audit:audit", "Show who changed what through the server, and who was refused."),
    "batch": ("kyanite.cli.batch:batch", "Batch accounts, pools, nodes, jobs and tasks of the workspace."),
    "demo": ("kyanite.cli.demo:demo", "Run the airline example from deployment to checked result files."),
    "deploy": ("kyanite.cli.deploy:deploy", "Deploy an ARM template or a git folder into the workspace."),
    "diff": ("kyanite.cli.diff:diff", "Show what publishing a working copy would change."),
    "env": ("kyanite.cli.exec:environment", "Print what `kyanite exec` sets, for a shell."),
    "eval": ("kyanite.cli.eval:evaluate", "Evaluate an expression."),
    "exec": ("kyanite.cli.exec:execute", "Run a program for which Azure's host names lead to this workspace."),
    "export": ("kyanite.cli.export:export", "Write a factory as an ARM template or a git folder."),
    "init": ("kyanite.cli.init:init", "Make a workspace."),
    "publish": ("kyanite.cli.publish:publish", "Make a working copy what the workspace runs."),
    "run": ("kyanite.cli.run:run", "Run a pipeline and show what it does."),
    "runs": ("kyanite.cli.runs:runs", "List, show, explain, cancel, resume and rerun pipeline runs; read their logs."),
    "serve": ("kyanite.cli.serve:serve", "Answer Azure's clients, fire triggers and work on runs until it is stopped."),
    "split": ("kyanite.cli.split:split", "Split parquet files into equal parts of at most a size."),
    "storage": ("kyanite.cli.storage:storage", "List, upload, download, copy and delete files in storage accounts."),
    "token": ("kyanite.cli.token:token", "Make a token or a client's secret with a role."),
    "trigger": ("kyanite.cli.trigger:trigger", "List, start, stop and preview triggers; look at their runs."),
    "validate": ("kyanite.cli.validate:validate", "Find what would fail at run time, without running anything."),
    "version": ("kyanite.cli.version:version", "Show versions."),
}

root = Group(
    "kyanite",
    table=COMMANDS,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Data Factory, Batch and Blob storage on the machine in front of you.",
    examples=[
        ("the whole tour in one command", "kyanite demo"),
        ("deploy a template, then run one of its pipelines", "kyanite deploy template.json"),
        ("", "kyanite run SampleCopyPipeline"),
        ("what happened", "kyanite runs show latest"),
    ],
)
click.version_option(__version__, message="kyanite %(version)s")(root)


def main(arguments: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run the command line and give its exit code; a traceback is shown only when KYANITE_DEBUG is set."""
    session = session or Session()
    atexit.register(gc.freeze)  # or Python looks through everything once more when it ends: 15 ms of 20
    # Arrow's own allocator keeps freed memory: splits that encode anew peak a third higher with it
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal's encoding lacks must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments, session)
    except KeyboardInterrupt:
        code = _interrupted(session)
    return _finish(session, code)


def _run(arguments: Sequence[str] | None, session: Session) -> int:
    try:
        result = root.main(
            args=None if arguments is None else list(arguments),
            prog_name="kyanite",
            standalone_mode=False,
            obj=session,
        )
        return result if isinstance(result, int) else 0
    except click.Abort:
        return _interrupted(session)
    except click.ClickException as error:
        _show_usage(error, session)
        return 2
    except KyaniteError as error:
        show_error(error, session)
        return error.exit_code
    except BrokenPipeError:
        silence(sys.stdout)
        return EXIT_FAILED
    except OSError as error:
        show_error(_of_system(error), session)
        return EXIT_FAILED
    except UnicodeEncodeError as error:
        wrong = [each for each in arguments or sys.argv[1:] if not _is_text(each)]
        if not wrong:
            return _defect(error, session)
        show_error(
            UserError(f"The argument '{visible(wrong[0])}' is no UTF-8 text.", cure="Only files may have such names."),
            session,
        )
        return 2
    except Exception as error:  # noqa: BLE001 - the last net: a defect is named in one line
        return _defect(error, session)


def _is_text(argument: str) -> bool:
    """False when the shell gave bytes that are no UTF-8; Python keeps them as halves of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finish(session: Session, code: int) -> int:
    try:
        session.close()
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    return code


def show_error(error: KyaniteError, session: Session) -> None:
    """`error: where: what` and the cure below it on stderr; with --json also an error object on stdout."""
    place = f"{error.where}: " if error.where else ""
    session.echo(click.style("error: ", fg="red") + visible(f"{place}{error.message}"), err=True)
    if isinstance(error, ExpressionError) and error.text is not None and error.position is not None:
        session.echo(caret(error.text, error.position), err=True)
    if error.cure:
        session.echo(f"  {visible(error.cure)}", err=True)
    if session.as_json:
        details = {"code": error.error_code, "message": error.message, "where": error.where, "cure": error.cure}
        position = {"position": error.position} if isinstance(error, ExpressionError) else {}
        session.print_json({"error": details | position})


def caret(text: str, position: int, width: int = 100) -> str:
    """The line of a text that holds a position, with a caret below it; long lines are cut around the place."""
    position = max(0, min(position, len(text)))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line, column = text[start : len(text) if end < 0 else end], position - start
    first = max(0, column - width // 2)
    shown = line[first : first + width].replace("\t", " ")
    before = "…" if first else ""
    after = "…" if first + width < len(line) else ""
    return f"  {visible(before + shown + after)}\n  {' ' * (len(before) + column - first)}^"


def _show_usage(error: click.ClickException, session: Session) -> None:
    context = getattr(error, "ctx", None)
    if context is not None:
        session.echo(context.get_usage(), err=True)
    session.echo(click.style("error: ", fg="red") + visible(error.format_message()), err=True)
    if context is not None:
        session.echo(f"  {context.command_path} --help shows the options and examples.", err=True)
    if session.as_json:
        session.print_json({"error": {"code": "Usage", "message": error.format_message(), "where": None, "cure": None}})


def _interrupted(session: Session) -> int:
    session.echo("interrupted", err=True)
    if session.running:
        home = f" --home {session.home}" if session.home is not None else ""
        again = f"kyanite runs resume {session.running}{home}"
        session.echo("  nobody works on the run now; tasks it has on a pool go on", err=True)
        session.echo(f"  continue with {again}", err=True)
        session.echo(f"  or end it with {again.replace('resume', 'cancel', 1)}", err=True)
    return EXIT_INTERRUPTED


def _of_system(error: OSError) -> KyaniteError:
    return KyaniteError(
        error.strerror or str(error),
        where=str(error.filename) if error.filename is not None else None,
        cure="Check the path, its permissions and the free space of its disk.",
        code="SystemError",
    )


def _defect(error: Exception, session: Session) -> int:
    if os.environ.get("KYANITE_DEBUG"):
        import traceback

        session.echo("".join(traceback.format_exception(error)), err=True)
    text = visible(" ".join(str(error).split())) or "no message"
    session.echo(
        click.style("error: ", fg="red") + f"a defect of kyanite: {type(error).__name__}: {text}\n"
        "  KYANITE_DEBUG=1 shows the traceback; please report it.",
        err=True,
    )
    if session.as_json:
        session.print_json({"error": {"code": "Defect", "message": f"{type(error).__name__}: {text}"}})
    return EXIT_DEFECT
