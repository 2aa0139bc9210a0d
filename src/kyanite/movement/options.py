"""Copy options: those that would change the result and are not implemented are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kyanite.errors import DefinitionError, UnsupportedError
from kyanite.movement.copy_plan import read_behaviour
from kyanite.movement.location import flag, text

_DEFAULT_UNITS = 4
_TRANSLATOR_MAPPINGS = ("mappings", "columnMappings", "schemaMapping", "collectionReference")


@dataclass(frozen=True)
class CopyOptions:
    """A Copy activity's typeProperties as far as they matter here; `units` is only echoed."""

    read_settings: Mapping[str, Any]
    behaviour: str
    units: int
    check_consistency: bool


def read_options(properties: Mapping[str, Any]) -> CopyOptions:
    """The options of a Copy; UnsupportedError names the first one that is not implemented."""
    source, sink = _object(properties, "source", "Copy"), _object(properties, "sink", "Copy")
    if not source or not sink:
        raise DefinitionError("Copy needs a `source` and a `sink`.")
    _refuse_in_copy(properties)
    _refuse_translator(properties)
    read_settings = _object(source, "storeSettings", "source")
    write_settings = _object(sink, "storeSettings", "sink")
    _refuse_filled(source, "additionalColumns", "source")
    _refuse_filled(write_settings, "metadata", "sink's storeSettings")
    _refuse_filled(write_settings, "expiryDateTime", "sink's storeSettings")
    _refuse_filled(_object(sink, "formatSettings", "sink"), "maxRowsPerFile", "sink's formatSettings")
    _refuse_filled(_object(source, "formatSettings", "source"), "compressionProperties", "source's formatSettings")
    return CopyOptions(
        read_settings,
        read_behaviour(text(write_settings, "copyBehavior", "sink's storeSettings")),
        _units(properties),
        flag(properties, "validateDataConsistency", False, "Copy"),
    )


def _refuse_in_copy(properties: Mapping[str, Any]) -> None:
    for key in ("enableStaging", "enableSkipIncompatibleRow"):
        if flag(properties, key, False, "Copy"):
            raise UnsupportedError(f"`{key}` of Copy is not supported.", cure="Set it to false.")
    for key in ("redirectIncompatibleRowSettings", "preserve", "preserveRules", "logStorageSettings"):
        _refuse_filled(properties, key, "Copy")
    log = _object(properties, "logSettings", "Copy")
    if log and flag(log, "enableCopyActivityLog", True, "logSettings of Copy"):
        raise UnsupportedError("`logSettings` of Copy is not supported.", cure="Set enableCopyActivityLog to false.")
    skip = _object(properties, "skipErrorFile", "Copy")
    for key in skip:
        if flag(skip, key, False, "skipErrorFile of Copy"):
            raise UnsupportedError(f"`skipErrorFile.{key}` of Copy is not supported.", cure="Set it to false.")


def _refuse_translator(properties: Mapping[str, Any]) -> None:
    translator = _object(properties, "translator", "Copy")
    kind = translator.get("type", "TabularTranslator")
    if kind != "TabularTranslator":
        raise UnsupportedError(f"`translator` of type `{kind}` is not supported.", cure="Use TabularTranslator.")
    for key in _TRANSLATOR_MAPPINGS:
        _refuse_filled(translator, key, "translator of Copy", "Leave it out: columns are mapped by name.")


def _refuse_filled(properties: Mapping[str, Any], key: str, where: str, cure: str = "Leave it out.") -> None:
    if properties.get(key) not in (None, "", [], {}):
        raise UnsupportedError(f"`{key}` in the {where} is not supported.", cure=cure)


def _object(properties: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = properties.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DefinitionError(f"`{key}` in the {where} is {type(value).__name__}, not an object.")
    return value


def _units(properties: Mapping[str, Any]) -> int:
    value = properties.get("dataIntegrationUnits")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else _DEFAULT_UNITS
