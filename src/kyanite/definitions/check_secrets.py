"""Secrets that a run would show: keys on command lines and in web requests. Values never stand in a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kyanite.definitions.activity import as_object
from kyanite.definitions.check_expressions import texts
from kyanite.definitions.model import Activity, Factory, Pipeline, carried
from kyanite.definitions.paths import descend
from kyanite.definitions.problem import Problem, warning
from kyanite.errors import ExpressionError
from kyanite.expressions import references

Json = Any

# activity type (lower case) -> members of typeProperties that monitoring shows
_SHOWN = {
    "custom": ("command",),
    "webactivity": ("url", "headers", "body"),
    "webhook": ("url", "headers", "body"),
}
_VALUE = re.compile(r"~secret:|AccountKey=[^;]|[?&]sig=\w|SharedAccessSignature=\w|(?<![\w+/])[A-Za-z0-9+/]{86}==")
_WORDS = {"key", "keys", "secret", "secrets", "password", "passwd", "pwd", "token", "tokens", "sas"}
_HARMLESS_ENDS = {"column", "columns", "count", "id", "ids", "name", "names", "type", "vault", "version"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def check_secrets(factory: Factory) -> Iterator[Problem]:
    """Variables, parameters and literals that look like secrets where everybody can read them."""
    for pipeline in factory.pipelines.values():
        for activity in pipeline.walk():
            if not activity.policy.secure_input:
                yield from _activity(factory, pipeline, activity)


def looks_secret(name: str, value: Json) -> bool:
    """Whether a value looks like a key or token, or its name says so (`storageKey`, `sas_token`; not `monkey`)."""
    if isinstance(value, dict) and value.get("type") == "SecureString":
        return True
    return bool(isinstance(value, str) and _VALUE.search(value)) or is_secret_name(name)


def is_secret_name(name: str) -> bool:
    """Whether one of the words of a name is key, secret, password, token or sas, and none says it is only a name."""
    words = [word.lower() for word in _WORD.findall(name)]
    if words and words[-1] in _HARMLESS_ENDS:
        return False
    return any(word in _WORDS or word.endswith("password") for word in words)


def _activity(factory: Factory, pipeline: Pipeline, activity: Activity) -> Iterator[Problem]:
    for member in _SHOWN.get(activity.type.lower(), ()):
        raw = activity.type_properties.get(member)
        place = descend(activity.path, "typeProperties", member)
        seen: set[str] = set()
        if _has_literal(carried(raw)):
            yield _problem(pipeline, activity, place, f"the {member} itself holds what looks like a secret")
        for path, text in texts(raw, place):
            for what in _secrets_read(factory, pipeline, text):
                if what not in seen:
                    seen.add(what)
                    yield _problem(pipeline, activity, path, f"it reads {what}, which looks like a secret")


def _problem(pipeline: Pipeline, activity: Activity, path: str, reason: str) -> Problem:
    if activity.type.lower() == "custom":
        message = (
            f"The command of {activity.name!r} shows a secret in the run's input and to other processes: {reason}."
        )
        cure = (
            "Name the linked service in referenceObjects and read linkedServices.json in the task, or pass a "
            "SecureString in extendedProperties; policy.secureInput hides the input."
        )
    else:
        message = f"The request of {activity.name!r} shows a secret in the run's input: {reason}."
        cure = "Set policy.secureInput to true, or use the authentication property."
    return warning("SecretOnCommandLine", pipeline.place, path, message, cure)


def _secrets_read(factory: Factory, pipeline: Pipeline, text: str) -> Iterator[str]:
    try:
        found = list(references(text))
    except ExpressionError:
        return  # reported where expressions are checked
    for reference in found:
        match reference.kind:
            case "variable":
                variable = pipeline.variables.get(reference.name, None)
                if variable is not None and looks_secret(variable.name, variable.default):
                    yield f"the variable {variable.name!r}"
            case "parameter":
                parameter = pipeline.parameters.get(reference.name, None)
                if parameter is not None and (parameter.secure or looks_secret(parameter.name, parameter.default)):
                    yield f"the parameter {parameter.name!r}"
            case "globalParameter":
                if looks_secret(reference.name, _global(factory.global_parameter_documents, reference.name)):
                    yield f"the global parameter {reference.name!r}"


def _global(documents: Mapping[str, Json], name: str) -> Json:
    return next((as_object(raw).get("value") for one, raw in documents.items() if one.lower() == name.lower()), None)


def _has_literal(value: Json) -> bool:
    if isinstance(value, str):
        return bool(_VALUE.search(value))
    children = value.values() if isinstance(value, dict) else (value if isinstance(value, list) else ())
    return any(_has_literal(child) for child in children)
