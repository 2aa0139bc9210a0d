"""The table of functions: adding one is one function in a topic file and one line here (the table is sorted)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kyanite.expressions.functions import collection, conversion, date, logical, math, string, system, xml
from kyanite.expressions.scope import Json


@dataclass(frozen=True, slots=True)
class Function:
    """What a name does: `implementation(evaluation, *arguments)`; a lazy one gets its arguments unevaluated.

    `maximum` None means any number of arguments.
    """

    implementation: Callable[..., Json]
    minimum: int
    maximum: int | None
    lazy: bool = False

    def takes(self, count: int) -> bool:
        """Whether a call may have so many arguments."""
        return self.minimum <= count and (self.maximum is None or count <= self.maximum)

    @property
    def arity(self) -> str:
        """The allowed number of arguments in words."""
        if self.maximum is None:
            return f"at least {self.minimum}"
        return str(self.minimum) if self.minimum == self.maximum else f"{self.minimum} to {self.maximum}"


FUNCTIONS: dict[str, Function] = {
    "activity": Function(system.activity, 1, 1),
    "add": Function(math.add, 2, 2),
    "addDays": Function(date.add_days, 2, 3),
    "addHours": Function(date.add_hours, 2, 3),
    "addMinutes": Function(date.add_minutes, 2, 3),
    "addSeconds": Function(date.add_seconds, 2, 3),
    "addToTime": Function(date.add_to_time, 3, 4),
    "and": Function(logical.and_, 1, None, lazy=True),
    "array": Function(conversion.array, 1, 1),
    "base64": Function(conversion.base64, 1, 1),
    "base64ToBinary": Function(conversion.base64_to_binary, 1, 1),
    "base64ToString": Function(conversion.base64_to_string, 1, 1),
    "binary": Function(conversion.binary, 1, 1),
    "bool": Function(conversion.bool_, 1, 1),
    "coalesce": Function(conversion.coalesce, 1, None, lazy=True),
    "concat": Function(string.concat, 1, None),
    "contains": Function(collection.contains, 2, 2),
    "convertFromUtc": Function(date.convert_from_utc, 2, 3),
    "convertTimeZone": Function(date.convert_time_zone, 3, 4),
    "convertToUtc": Function(date.convert_to_utc, 2, 3),
    "createArray": Function(conversion.create_array, 1, None),
    "dataset": Function(system.dataset, 0, 0),
    "dataUri": Function(conversion.data_uri, 1, 1),
    "dataUriToBinary": Function(conversion.data_uri_to_binary, 1, 1),
    "dataUriToString": Function(conversion.data_uri_to_string, 1, 1),
    "dayOfMonth": Function(date.day_of_month, 1, 1),
    "dayOfWeek": Function(date.day_of_week, 1, 1),
    "dayOfYear": Function(date.day_of_year, 1, 1),
    "decodeBase64": Function(conversion.base64_to_string, 1, 1),
    "decodeDataUri": Function(conversion.decode_data_uri, 1, 1),
    "decodeUriComponent": Function(conversion.uri_component_to_string, 1, 1),
    "div": Function(math.div, 2, 2),
    "empty": Function(collection.empty, 1, 1),
    "encodeUriComponent": Function(conversion.uri_component, 1, 1),
    "endsWith": Function(string.ends_with, 2, 2),
    "equals": Function(logical.equals, 2, 2),
    "first": Function(collection.first, 1, 1),
    "float": Function(conversion.float_, 1, 1),
    "formatDateTime": Function(date.format_date_time, 1, 2),
    "getFutureTime": Function(date.get_future_time, 2, 3),
    "getPastTime": Function(date.get_past_time, 2, 3),
    "greater": Function(logical.greater, 2, 2),
    "greaterOrEquals": Function(logical.greater_or_equals, 2, 2),
    "guid": Function(string.guid, 0, 1),
    "if": Function(logical.if_, 3, 3, lazy=True),
    "indexOf": Function(string.index_of, 2, 2),
    "int": Function(conversion.int_, 1, 1),
    "intersection": Function(collection.intersection, 2, None),
    "item": Function(system.item, 0, 0),
    "join": Function(collection.join, 2, 2),
    "json": Function(conversion.json, 1, 1),
    "last": Function(collection.last, 1, 1),
    "lastIndexOf": Function(string.last_index_of, 2, 2),
    "length": Function(collection.length, 1, 1),
    "less": Function(logical.less, 2, 2),
    "lessOrEquals": Function(logical.less_or_equals, 2, 2),
    "linkedService": Function(system.linked_service, 0, 0),
    "max": Function(math.max_, 1, None),
    "min": Function(math.min_, 1, None),
    "mod": Function(math.mod, 2, 2),
    "mul": Function(math.mul, 2, 2),
    "not": Function(logical.not_, 1, 1),
    "or": Function(logical.or_, 1, None, lazy=True),
    "pipeline": Function(system.pipeline, 0, 0),
    "rand": Function(math.rand, 2, 2),
    "range": Function(math.range_, 2, 2),
    "replace": Function(string.replace, 3, 3),
    "skip": Function(collection.skip, 2, 2),
    "split": Function(string.split, 2, 2),
    "startOfDay": Function(date.start_of_day, 1, 2),
    "startOfHour": Function(date.start_of_hour, 1, 2),
    "startOfMonth": Function(date.start_of_month, 1, 2),
    "startsWith": Function(string.starts_with, 2, 2),
    "string": Function(conversion.string, 1, 1),
    "sub": Function(math.sub, 2, 2),
    "substring": Function(string.substring, 2, 3),
    "subtractFromTime": Function(date.subtract_from_time, 3, 4),
    "take": Function(collection.take, 2, 2),
    "ticks": Function(date.ticks, 1, 1),
    "toLower": Function(string.to_lower, 1, 1),
    "toUpper": Function(string.to_upper, 1, 1),
    "trigger": Function(system.trigger, 0, 0),
    "triggerBody": Function(system.trigger_body, 0, 0),
    "trim": Function(string.trim, 1, 1),
    "union": Function(collection.union, 2, None),
    "uriComponent": Function(conversion.uri_component, 1, 1),
    "uriComponentToBinary": Function(conversion.uri_component_to_binary, 1, 1),
    "uriComponentToString": Function(conversion.uri_component_to_string, 1, 1),
    "utcNow": Function(date.utc_now, 0, 1),
    "variables": Function(system.variables, 1, 1),
    "xml": Function(xml.xml, 1, 1),
    "xpath": Function(xml.xpath, 2, 2),
}

LOGIC_APPS = (
    "action",
    "actionBody",
    "actionOutputs",
    "actions",
    "addProperty",
    "body",
    "chunk",
    "dateDifference",
    "decimal",
    "formDataMultiValues",
    "formDataValue",
    "formatNumber",
    "isFloat",
    "isInt",
    "items",
    "iterationIndexes",
    "listCallbackUrl",
    "multipartBody",
    "nthIndexOf",
    "outputs",
    "parameters",
    "parseDateTime",
    "removeProperty",
    "result",
    "reverse",
    "setProperty",
    "slice",
    "sort",
    "triggerFormDataMultiValues",
    "triggerFormDataValue",
    "triggerMultipartBody",
    "triggerOutputs",
    "uriHost",
    "uriPath",
    "uriPathAndQuery",
    "uriPort",
    "uriQuery",
    "uriScheme",
    "workflow",
)
"""Functions of Logic Apps, the sister product, which Data Factory does not list."""

_CANONICAL = {name.lower(): name for name in FUNCTIONS}


def find_function(name: str) -> tuple[str, Function] | None:
    """The function that `name` means in any case, with its proper name; None when there is none."""
    canonical = _CANONICAL.get(name.lower())
    return (canonical, FUNCTIONS[canonical]) if canonical else None
