"""The error tree: drawn as it is, with a code, a status and a sentence for each class."""

import inspect
import re

from kyanite import errors
from kyanite.errors import ActivityError, ExpressionError, KyaniteError, LeaseLost, NotFoundError, StateError

CLASSES = {
    name: each for name, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
}


def test_the_tree_in_the_docstring_is_the_tree():
    path = []
    drawn = {}
    for match in re.finditer(r"^(?P<branch>[| ]*(?:\|-|'-) )?(?P<name>[A-Z]\w+) {2,}", errors.__doc__, re.MULTILINE):
        depth = len(match["branch"] or "") // 3
        path[depth:] = [match["name"]]
        drawn[match["name"]] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: each.__base__.__name__ for name, each in CLASSES.items()}


def test_each_error_has_a_code_a_status_and_a_sentence():
    for name, each in CLASSES.items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", each.code), name
        assert 400 <= each.status < 600, name
        assert each.exit_code > 0, name
        assert each.__doc__.strip().endswith("."), name


def test_a_message_says_where_what_and_the_cure():
    error = StateError("The disk is full.", where="kyanite.db", cure="Free some space.", code="DiskFull")
    assert str(error) == "kyanite.db: The disk is full. Free some space."
    assert (error.message, error.where, error.cure, error.error_code) == (
        "The disk is full.",
        "kyanite.db",
        "Free some space.",
        "DiskFull",
    )
    assert str(StateError("It moved.")) == "It moved."
    assert StateError("It moved.").error_code == "StateError"


def test_special_members():
    error = ExpressionError("Unknown function.", text="@{x()}", position=2, cure="Did you mean y?")
    assert (error.text, error.position, str(error)) == ("@{x()}", 2, "Unknown function. Did you mean y?")
    failed = ActivityError("It ended with 3.", code="UserErrorExit", failure_type="SystemError", details=[{"a": 1}])
    assert (failed.error_code, failed.failure_type, failed.details) == ("UserErrorExit", "SystemError", [{"a": 1}])
    assert ActivityError("x").details == []


def test_what_a_caller_catches():
    assert issubclass(LeaseLost, StateError)
    assert issubclass(NotFoundError, KyaniteError)
    assert NotFoundError("x").status == 404
