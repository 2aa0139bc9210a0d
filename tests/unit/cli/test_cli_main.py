"""Errors, exit codes and secrets on the way out."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import click
import pytest
from made_up_workspace import SECRET, Run

from kyanite.cli.command import command, json_option
from kyanite.cli.main import caret, root
from kyanite.cli.session import Session, pass_session, visible
from kyanite.errors import ExpressionError, NotFoundError


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Session], int | None]], None]:
    """Make `kyanite probe` do what a test wants."""

    def install(body: Callable[[Session], int | None]) -> None:
        @command("probe", examples=[("it", "kyanite probe")])
        @json_option
        @pass_session
        def probe(session: Session) -> int | None:
            return body(session)

        monkeypatch.setitem(root.commands, "probe", probe)

    return install


def raising(error: BaseException) -> Callable[[Session], int | None]:
    def body(_: Session) -> int | None:
        raise error

    return body


def test_no_error_is_exit_0_and_a_result_is_the_exit_code(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(lambda session: session.echo("hello"))
    assert kyanite("probe").code == 0
    saying(lambda session: 1)
    assert kyanite("probe").code == 1


def test_our_errors_say_where_what_and_cure(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(raising(NotFoundError("There is no x.", where="a/b.json", cure="Make it.")))
    result = kyanite("probe")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: a/b.json: There is no x.\n  Make it.\n"


def test_json_errors_are_one_object_on_stdout(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(raising(NotFoundError("There is no x.", where="a", cure="Make it.")))
    result = kyanite("probe", "--json")
    assert json.loads(result.out) == {
        "error": {"code": "ResourceNotFound", "message": "There is no x.", "where": "a", "cure": "Make it."}
    }
    assert result.code == 1


def test_expression_errors_point_at_the_place(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(raising(ExpressionError("No such function.", text="@add(1, x())", position=8)))
    assert kyanite("probe").err.splitlines()[1:] == ["  @add(1, x())", "          ^"]


def test_a_caret_stays_below_its_character_in_long_and_many_lines() -> None:
    text = "first\n" + "x" * 300 + "HERE" + "y" * 300
    line, mark = caret(text, text.index("HERE")).splitlines()
    assert line[mark.index("^") :].startswith("HERE")
    assert len(line) < 110
    assert caret("ab", 99).splitlines()[1] == "    ^"


def test_a_defect_is_one_line_and_exit_70(
    kyanite: Run, saying: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(raising(KeyError("what\x1b[2J" + SECRET)))
    result = kyanite("probe")
    assert result.code == 70
    assert result.err.startswith("error: a defect of kyanite: KeyError: ")
    assert "KYANITE_DEBUG=1" in result.err
    assert "\x1b" not in result.err
    assert SECRET not in result.err


def test_debug_shows_the_traceback_masked(
    fake: object, saying: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kyanite.cli.main import main

    monkeypatch.setenv("KYANITE_DEBUG", "1")
    saying(raising(ValueError(SECRET)))
    session = Session()
    session._vault = fake.vault  # type: ignore[attr-defined]
    assert main(["probe"], session) == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert SECRET not in shown


def test_an_error_of_the_system_is_no_defect(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(raising(PermissionError(errno.EACCES, "Permission denied", "/data/x")))
    result = kyanite("probe")
    assert result.code == 1
    assert result.err.startswith("error: /data/x: Permission denied\n")


def test_an_interrupt_is_130_and_tells_how_to_go_on(kyanite: Run, saying: Callable[..., None]) -> None:
    def body(session: Session) -> None:
        session.running = "1234"
        raise KeyboardInterrupt

    saying(body)
    result = kyanite("probe")
    assert result.code == 130
    assert "continue with kyanite runs resume 1234" in result.err
    assert "end it with kyanite runs cancel 1234" in result.err


@pytest.mark.parametrize(
    "line",
    [["nope"], ["run"], ["runs", "nope"], ["eval", "x", "--nope"], ["split", "a", "b"], ["storage", "ls", "./x"]],
)
def test_wrong_usage_is_exit_2_with_a_pointer_to_help(kyanite: Run, line: list[str]) -> None:
    result = kyanite(*line)
    assert (result.code, result.out) == (2, "")
    assert "Usage: kyanite" in result.err
    assert "--help shows the options and examples" in result.err


def test_a_misspelled_command_is_answered_with_the_near_one(kyanite: Run) -> None:
    assert "Did you mean deploy" in kyanite("depoly").err
    assert "Did you mean resume or rerun?" in kyanite("runs", "resum").err


def test_secrets_are_masked_in_every_way_out(kyanite: Run, saying: Callable[..., None]) -> None:
    def body(session: Session) -> None:
        from kyanite.cli.output import print_table

        session.echo(f"key {SECRET}")
        session.print_json({"key": [SECRET]})
        print_table(session, ["key"], [[SECRET]])
        raise NotFoundError(f"no {SECRET}", where=SECRET, cure=SECRET)

    saying(body)
    result = kyanite("probe")
    assert SECRET not in result.out + result.err
    assert result.out.count("***") == 3
    assert result.err.count("***") == 3


@pytest.mark.parametrize("line", [["--home", "HOME", "probe"], ["probe", "--home", "HOME"]])
def test_home_stands_before_or_after_the_command(
    line: list[str], fake: object, saying: Callable[..., None], tmp_path: object, kyanite: Run
) -> None:
    seen: list[object] = []
    saying(lambda session: seen.append(session.home))
    assert kyanite(*[str(tmp_path) if word == "HOME" else word for word in line]).code == 0
    assert seen == [tmp_path]


def test_no_color_and_the_variable_switch_colours_off(
    kyanite: Run, saying: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool | None] = []
    saying(lambda session: seen.append(session.color))
    kyanite("probe")
    kyanite("probe", "--no-color")
    monkeypatch.setenv("NO_COLOR", "1")
    kyanite("probe")
    assert seen == [None, False, False]


def test_control_characters_are_spelled_out() -> None:
    assert visible("a\x1b[31mb\tc\r\nd\x9b") == "a\\x1b[31mb\tc\nd\\x9b"


def test_usage_errors_of_a_command_look_like_those_of_the_parser(kyanite: Run, saying: Callable[..., None]) -> None:
    saying(raising(click.UsageError("Give one.")))
    assert kyanite("probe").err == (
        "Usage: kyanite probe [OPTIONS]\nerror: Give one.\n  kyanite probe --help shows the options and examples.\n"
    )
