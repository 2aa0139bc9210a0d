"""`-p NAME=VALUE` and parameter files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from kyanite.cli.parameters import assigned, gather, guessed, typed
from kyanite.errors import DefinitionError, NotFoundError, ParameterError


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("String", "42", "42"),
        ("string", "", ""),
        ("SecureString", "[1]", "[1]"),
        ("Int", "42", 42),
        ("int", "-7", -7),
        ("Float", "2.5", 2.5),
        ("Float", "2", 2),
        ("Bool", "true", True),
        ("bool", "False", False),
        ("Array", '["a", 1]', ["a", 1]),
        ("Object", '{"a": {"b": null}}', {"a": {"b": None}}),
        ("secureObject", "{}", {}),
        ("SomethingNew", "text", "text"),
    ],
)
def test_a_text_becomes_a_value_of_the_declared_type(kind: str, text: str, value: Any) -> None:
    found = typed("p", text, kind)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Int", "4.5"),
        ("Int", "x"),
        ("Int", ""),
        ("Bool", "1"),
        ("Float", "true"),
        ("Float", "x"),
        ("Array", "{}"),
        ("Array", "a,b"),
        ("Object", "[]"),
        ("Object", "[" * 5000),
    ],
)
def test_a_text_that_does_not_fit_is_refused_with_a_sample(kind: str, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        typed("p", text, kind)
    assert caught.value.where == "parameter p"
    assert caught.value.cure is not None
    assert caught.value.cure.startswith("Write it as ")


def test_assignments_split_at_the_first_equals_sign() -> None:
    assert assigned(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ["a", "=1", " =1", ""])
def test_what_is_no_assignment_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter):
        assigned([text])


def test_guessed_values_are_json_or_text() -> None:
    assert [guessed(text) for text in ("1", "true", "[1]", "abc", "")] == [1, True, [1], "abc", ""]


def write(folder: Path, document: Any) -> Path:
    file = folder / "parameters.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return file


def test_the_command_line_wins_over_the_file_whatever_the_case(tmp_path: Path) -> None:
    file = write(tmp_path, {"Count": 1, "names": ["a"]})
    assert gather(["count=2"], file, {"Count": "Int", "names": "Array"}) == {"Count": 2, "names": ["a"]}


def test_an_unknown_name_is_kept_for_the_run_to_refuse() -> None:
    assert gather(["nope=1"], None, {"a": "Int"}) == {"nope": "1"}


def test_an_arm_parameters_file_is_unwrapped(tmp_path: Path) -> None:
    file = write(tmp_path, {"$schema": "x", "contentVersion": "1.0.0.0", "parameters": {"a": {"value": 1}}})
    assert gather([], file, {}) == {"a": 1}


def test_a_parameter_that_is_called_parameters_is_a_plain_file(tmp_path: Path) -> None:
    file = write(tmp_path, {"parameters": "x", "b": 1})
    assert gather([], file, {}) == {"parameters": "x", "b": 1}


def test_a_key_vault_reference_is_refused_with_its_place(tmp_path: Path) -> None:
    file = write(tmp_path, {"parameters": {"a": {"reference": {}}}})
    with pytest.raises(DefinitionError) as caught:
        gather([], file, {})
    assert "parameters.a" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "", "{'a': 1}", "[" * 3000])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises((DefinitionError, Exception)) as caught:
        gather([], write(tmp_path, text), {})
    assert "parameters.json" in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        gather([], tmp_path / "none.json", {})
    with pytest.raises(DefinitionError, match="folder"):
        gather([], tmp_path, {})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DefinitionError, match="UTF-8"):
        gather([], file, {})
