"""The values of one ARM template: parameters, variables and every text in it, evaluated once each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kyanite import limits
from kyanite.definitions.activity import as_list, as_object
from kyanite.definitions.arm_environment import Environment
from kyanite.definitions.arm_functions import find_function
from kyanite.definitions.arm_lambda_functions import refuse_lambda
from kyanite.definitions.arm_parameters import check_default, check_parameters, is_secure, resolve_types
from kyanite.definitions.arm_syntax import Access, Call, Literal, Node, is_expression, literal_text, parse
from kyanite.definitions.arm_values import guard_length, guard_size, type_name
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import descend, join
from kyanite.errors import LimitError, TemplateError, UserError

Json = Any
_ITEM_BYTES = 8


class Resources(Protocol):
    """The resources that a template's functions can look up."""

    def find(self, name_or_id: str) -> tuple[str, str]:
        """Type and full name of a resource."""

    def reference(self, name_or_id: str, *, full: bool) -> Json:
        """The run-time state of a resource."""

    def references(self, symbol: str, *, full: bool) -> list[Json]:
        """The run-time states of what a copy loop makes."""


class TemplateValues:
    """Parameters and variables of one template; each is evaluated when it is first asked for."""

    def __init__(
        self,
        document: Mapping[str, Json],
        given: Mapping[str, Json],
        environment: Environment,
        path: str = "",
        caller: TemplateValues | None = None,
    ) -> None:
        self.document = document
        self.environment = environment
        self.path = path
        self.declared = resolve_types(as_object(document.get("parameters")), document.get("definitions"))
        self._calls: list[int] = caller._calls if caller else [0, 0]  # how many, and what they gave
        self._values = check_parameters(self.declared, given, descend(path, "parameters"))
        self._variables = as_object(document.get("variables"))
        self._evaluated: dict[str, Json] = {}
        self._waiting: list[str] = []

    def secure_values(self) -> list[Json]:
        """The values of `secureString` and `secureObject` parameters, used defaults included."""
        known = {name: self._evaluated.get(f"parameters('{name}')") for name in self.declared}
        known |= self._values
        return [value for name, value in known.items() if value is not None and is_secure(self.declared.get(name))]

    def parameter(self, name: str, scope: Scope) -> Json:
        """The value of a parameter, or its evaluated default."""
        spelling = _spelling(name, self.declared, "parameters")
        if spelling in self._values:
            return self._values[spelling]
        place = descend(self.path, "parameters", spelling, "defaultValue")

        def compute() -> Json:
            raw = self.declared[spelling]["defaultValue"]
            return check_default(spelling, scope.value(raw, place), self.declared[spelling], place)

        return self._once(f"parameters('{spelling}')", place, compute)

    def variable(self, name: str, scope: Scope) -> Json:
        """The value of a variable."""
        loops = {str(as_object(loop).get("name")): loop for loop in _loops(self._variables.get("copy"))}
        spelling = _spelling(name, [*(v for v in self._variables if v != "copy" or not loops), *loops], "variables")
        place = descend(self.path, "variables", spelling)

        def compute() -> Json:
            if spelling in loops:
                return scope.repeat(loops[spelling], descend(self.path, "variables", "copy"))
            return scope.value(self._variables[spelling], place)

        return self._once(f"variables('{spelling}')", place, compute)

    def count_call(self) -> None:
        """Count a call of a lambda or a function of the template's own; LimitError for too many."""
        self._calls[0] += 1
        if self._calls[0] > limits.TEMPLATE_CALLS:
            raise LimitError(
                f"The template calls lambdas and its own functions more than {limits.TEMPLATE_CALLS:,} times.",
                cure="Use shorter arrays.",
            )

    def count_size(self, value: Json) -> None:
        """Count the characters or items that a lambda gave; LimitError for too many."""
        self._calls[1] += len(value) if isinstance(value, str | list | dict) else 1
        guard_length(_ITEM_BYTES * self._calls[1])

    def function(self, name: str) -> tuple[dict[str, Json], str] | None:
        """The declaration and place of a function of the template's own (`namespace.name`); None when it has none."""
        space, _, member = name.lower().rpartition(".")
        for position, each in enumerate(as_list(self.document.get("functions"))):
            if str(as_object(each).get("namespace", "")).lower() != space:
                continue
            for spelling, function in as_object(as_object(each).get("members")).items():
                if spelling.lower() == member:
                    return as_object(function), descend(self.path, "functions", position, "members", spelling)
        return None

    def _once(self, what: str, place: str, compute: Callable[[], Json]) -> Json:
        if what in self._evaluated:
            return self._evaluated[what]
        if what in self._waiting:
            circle = " -> ".join([*self._waiting[self._waiting.index(what) :], what])
            raise TemplateError(f"Values need each other: {circle}.", where=place, cure="Break the circle.")
        self._waiting.append(what)
        try:
            value = compute()
        finally:
            self._waiting.pop()
        guard_size(value)
        self._evaluated[what] = value
        return value


@dataclass(frozen=True)
class Scope:
    """Evaluates texts and values of one template, inside the copy loops named in `loops` (outermost first)."""

    values: TemplateValues
    resources: Resources
    loops: tuple[tuple[str, int], ...] = field(default=())
    locals: Mapping[str, Json] = field(default_factory=dict)

    @property
    def environment(self) -> Environment:
        """Where the template is deployed to."""
        return self.values.environment

    def parameter(self, name: str) -> Json:
        """The value of a template parameter."""
        return self.values.parameter(name, Scope(self.values, self.resources))

    def variable(self, name: str) -> Json:
        """The value of a template variable."""
        return self.values.variable(name, Scope(self.values, self.resources))

    def find(self, name_or_id: str) -> tuple[str, str]:
        """Type and full name of a resource of the deployment."""
        return self.resources.find(name_or_id)

    def reference(self, name_or_id: str, *, full: bool) -> Json:
        """The run-time state of a resource of the deployment."""
        return self.resources.reference(name_or_id, full=full)

    def references(self, symbol: str, *, full: bool) -> list[Json]:
        """The run-time states of what a copy loop makes."""
        return self.resources.references(symbol, full=full)

    def local(self, name: str) -> Json:
        """The value of a lambda's variable."""
        for known, value in self.locals.items():
            if known.lower() == name.lower():
                return value
        raise TemplateError(
            f"There is no lambda variable {name!r} here.", cure=suggestion(name, list(self.locals), "variables")
        )

    def counted(self, value: Json) -> Json:
        """What a lambda gave, its size counted against what the whole template may make."""
        self.values.count_size(value)
        return value

    def with_locals(self, values: Mapping[str, Json]) -> Scope:
        """The scope inside a lambda's body."""
        self.values.count_call()
        return Scope(self.values, self.resources, self.loops, {**self.locals, **values})

    def copy_index(self, loop: str | None) -> int:
        """The counter of a copy loop."""
        for name, index in reversed(self.loops):
            if loop is None or name.lower() == loop.lower():
                return index
        raise TemplateError(
            f"copyIndex({repr(loop) if loop else ''}) stands outside of its copy loop.",
            cure='Use it inside a resource or property with "copy".',
        )

    def inside(self, loop: str, index: int) -> Scope:
        """The scope of one pass of a copy loop."""
        return Scope(self.values, self.resources, (*self.loops, (loop, index)), self.locals)

    def value(self, raw: Json, path: str) -> Json:
        """A template's value with every text in it evaluated; keys stay as they are."""
        if isinstance(raw, str):
            return self.text(raw, path)
        if isinstance(raw, list):
            return [self.value(item, join(path, index)) for index, item in enumerate(raw)]
        if not isinstance(raw, dict):
            return raw
        built: dict[str, Json] = {}
        for key, item in raw.items():
            loops = _loops(item) if key == "copy" else []
            if loops:
                for loop in loops:
                    built[str(loop["name"])] = self.repeat(loop, join(path, key))
            else:
                built[key] = self.value(item, join(path, key))
        return built

    def repeat(self, loop: dict[str, Json], path: str) -> list[Json]:
        """The array that a property or variable copy loop makes."""
        count = self.count(loop, path)
        if "input" not in loop:
            raise TemplateError("The copy loop has no input.", where=path, cure='Write "input".')
        return [self.inside(str(loop["name"]), i).value(loop["input"], join(path, "input")) for i in range(count)]

    def count(self, loop: dict[str, Json], path: str) -> int:
        """The evaluated `count` of a copy loop."""
        place = join(path, "count")
        count = self.value(loop.get("count"), place)
        if type_name(count) != "int" or not 0 <= count <= limits.TEMPLATE_COPIES:
            raise TemplateError(
                "The count of a copy loop does not fit.",
                where=place,
                cure=f"Give an integer from 0 to {limits.TEMPLATE_COPIES}.",
            )
        return int(count)

    def text(self, raw: str, path: str) -> Json:
        """The value of one text: of its expression when it is one, otherwise the text itself."""
        if not is_expression(raw):
            return literal_text(raw)
        try:
            return refuse_lambda(self._node(parse(raw)))
        except UserError as error:
            if error.where is None or error.where.startswith("position "):
                error.where = f"{path}, {error.where}" if error.where else path
            raise
        except RecursionError:
            raise LimitError("The template's values nest too deep.", where=path, cure="Use fewer steps.") from None

    def _node(self, node: Node) -> Json:
        match node:
            case Literal():
                return node.value
            case Call():
                return self._call(node)
            case Access():
                return self._access(node)

    def _call(self, node: Call) -> Json:
        try:
            own = self.values.function(node.name) if "." in node.name else None
            if own is not None:
                return self._own_function(node, *own)
            function = find_function(node.name)
            count = len(node.arguments)
            if count < function.least or (function.most is not None and count > function.most):
                most = "or more" if function.most is None else f"to {function.most}"
                raise TemplateError(
                    f"{node.name} got {count} argument(s), it takes {function.least} {most}.",
                    cure="Correct the number of arguments.",
                )
            if function.lazy:
                return function.call(self, [lambda scope=self, a=a: scope._node(a) for a in node.arguments])
            values = [self._node(argument) for argument in node.arguments]
            return function.call(self, values if function.takes_lambda else [refuse_lambda(one) for one in values])
        except UserError as error:
            if error.where is None:
                error.where = f"position {node.position + 1}"
            raise

    def _own_function(self, node: Call, function: dict[str, Json], place: str) -> Json:
        declared = as_list(function.get("parameters"))
        if len(declared) != len(node.arguments):
            raise TemplateError(
                f"{node.name} got {len(node.arguments)} argument(s), it takes {len(declared)}.",
                cure="Correct the number of arguments.",
            )
        self.values.count_call()
        names = [str(as_object(each).get("name", "")) for each in declared]
        given = {name: self._node(argument) for name, argument in zip(names, node.arguments, strict=True)}
        document = {
            "parameters": dict(zip(names, declared, strict=True)),
            "functions": self.values.document.get("functions"),
            "definitions": self.values.document.get("definitions"),
        }
        values = TemplateValues(document, given, self.environment, place, self.values)
        output = as_object(function.get("output")).get("value")
        return Scope(values, self.resources).value(output, descend(place, "output", "value"))

    def _access(self, node: Access) -> Json:
        target, key = self._node(node.target), self._node(node.key)
        if isinstance(target, dict) and isinstance(key, str):
            if key in target:
                return target[key]
            found = [name for name in target if name.lower() == key.lower()]
            if found:
                return target[found[0]]
            cure = suggestion(key, target, "members")
            message = f"The value has no member {key!r}."
        elif isinstance(target, list) and type_name(key) == "int":
            if 0 <= key < len(target):
                return target[key]
            message, cure = f"The array has {len(target)} item(s), there is no item {key}.", "Count from 0."
        else:
            message = f"A value of the type {type_name(target)} has no {type_name(key)} members."
            cure = "Use .name on objects and [number] on arrays."
        raise TemplateError(message, where=f"position {node.position + 1}", cure=cure)


def _spelling(name: str, known: Mapping[str, Json] | list[str], what: str) -> str:
    for spelling in known:
        if spelling.lower() == name.lower():
            return spelling
    raise TemplateError(f"The template has no {what[:-1]} {name!r}.", cure=suggestion(name, known, what))


def _loops(raw: Json) -> list[dict[str, Json]]:
    """The loops of a property copy, or nothing when the value is an ordinary member that happens to be called copy."""
    if not isinstance(raw, list) or not raw:
        return []
    fits = all(isinstance(loop, dict) and {"name", "count", "input"} <= loop.keys() for loop in raw)
    return raw if fits else []
