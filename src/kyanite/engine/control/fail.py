"""Fail: end with a message and a code of the author's own."""

from __future__ import annotations

from typing import Any

from kyanite.engine.turn import Turn

_ABSENT = object()


def start(turn: Turn, path: str) -> None:
    """The result's message and code follow the service's table of what can be interpreted as text."""
    activity = turn.state.activities[path]
    properties = activity.definition.type_properties
    name = activity.definition.name
    message = turn.evaluate(properties["message"], activity.scope) if "message" in properties else _ABSENT
    code = turn.evaluate(properties["errorCode"], activity.scope) if "errorCode" in properties else _ABSENT
    shown = {key: value for key, value in (("message", message), ("errorCode", code)) if value is not _ABSENT}
    turn.started(path, shown)
    turn.ended(path, "Failed", error=turn.error(path, _code(code), _message(name, message, code)))


def step(turn: Turn, path: str) -> None:
    """Never waits."""


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _message(name: str, message: Any, code: Any) -> str:
    uninterpretable = f"Failed to interpret {name} fail message or error code"
    if _text(message):
        return str(message)
    if not _text(code):
        return uninterpretable
    if message is _ABSENT:
        return "Fail message wasn't provided"
    if message is None or isinstance(message, str):
        return uninterpretable
    return f"{name} fail message parameter couldn't be interpreted as a string"


def _code(code: Any) -> str:
    return str(code) if _text(code) else "ErrorCodeNotString"
