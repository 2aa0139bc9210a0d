"""The resources a template declares: nested forms and copy loops unfolded, look-up by name or id, what needs what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from kyanite import limits
from kyanite.definitions.activity import as_list, as_object
from kyanite.definitions.arm_environment import Environment, provider_path, runtime_properties, split_id
from kyanite.definitions.arm_order import deployment_order
from kyanite.definitions.arm_template import Scope, TemplateValues
from kyanite.definitions.arm_values import guard_size, type_name
from kyanite.definitions.names import suggestion
from kyanite.definitions.paths import descend, join
from kyanite.errors import LimitError, TemplateError, UnsupportedError

Json = Any

_DEPLOYMENT_TYPE = "microsoft.resources/deployments"
# members that steer the deployment and are no part of the resource
_STEERING = ("comments", "condition", "copy", "dependsOn", "existing", "resources")


@dataclass(frozen=True, eq=False)
class Declared:
    """A resource before its properties are evaluated: `type` and `name` in full, `parent` as index."""

    index: int
    raw: dict[str, Json]
    path: str
    type: str
    name: str
    scope: Scope
    active: bool
    parent: int | None = None
    symbol: str = ""
    loop: str = ""
    inner: Scope | None = None
    existing: bool = False

    @property
    def is_deployment(self) -> bool:
        """Whether it is a nested deployment, which only groups others."""
        return self.type.lower() == _DEPLOYMENT_TYPE

    @property
    def id(self) -> str:
        """The partial id `Ns/type/name/sub/name`."""
        namespace, *segments = self.type.split("/")
        return "/".join([namespace, *(p for pair in zip(segments, self.name.split("/"), strict=False) for p in pair)])


class Deployment:
    """All resources of one deployment, those of nested templates included."""

    def __init__(self, environment: Environment | None = None) -> None:
        self._environment = environment or Environment()
        self._declared: list[Declared] = []
        self._complete = False
        self._needs: dict[int, set[int]] = {}
        self._by_id: dict[tuple[str, str], list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        self._documents: dict[int, dict[str, Json]] = {}
        self._evaluating: list[int] = []
        self._links: list[Declared] = []

    # ---- unfolding

    def declare(self, scope: Scope, raw: Json, path: str, parent: Declared | None = None, nesting: int = 0) -> None:
        """Add a list of resources (or the map of a symbolic-name template), their children and nested templates."""
        named = raw.items() if isinstance(raw, dict) else (("", item) for item in as_list(raw))
        for position, (symbol, item) in enumerate(named):
            place = join(path, symbol or position)
            if not isinstance(item, dict) or not isinstance(item.get("type"), str):
                raise TemplateError("The resource has no type.", where=place, cure='Write "type" as a text.')
            for inside, loop in self._passes(scope, item, place):
                self._add(inside, item, place, parent, str(symbol), loop, nesting)

    def _passes(self, scope: Scope, item: dict[str, Json], place: str) -> Iterator[tuple[Scope, str]]:
        loop = item.get("copy")
        if not isinstance(loop, dict):
            yield scope, ""
            return
        name = str(loop.get("name", ""))
        for index in range(scope.count(loop, join(place, "copy"))):
            yield scope.inside(name, index), name

    def _add(
        self,
        scope: Scope,
        raw: dict[str, Json],
        path: str,
        parent: Declared | None,
        symbol: str,
        loop: str,
        nesting: int,
    ) -> None:
        if len(self._declared) >= limits.TEMPLATE_RESOURCES:
            raise LimitError(
                f"The template has more than {limits.TEMPLATE_RESOURCES:,} resources.", cure="Deploy it in parts."
            )
        name = scope.value(raw.get("name"), join(path, "name"))
        if not isinstance(name, str) or not name:
            raise TemplateError("The resource has no name.", where=join(path, "name"), cure='Write "name" as a text.')
        kind, name = _full(str(scope.value(raw["type"], join(path, "type"))), name, parent, path)
        condition = scope.value(raw.get("condition", True), join(path, "condition"))
        if type_name(condition) != "bool":
            raise TemplateError(
                "The condition is neither true nor false.",
                where=join(path, "condition"),
                cure="Use equals() or bool().",
            )
        owner = parent.index if parent else None
        existing = raw.get("existing") is True
        active = bool(condition) and not existing
        declared = Declared(
            len(self._declared), raw, path, kind, name, scope, active, owner, symbol, loop, existing=existing
        )
        self._declared.append(declared)
        if declared.is_deployment and declared.active:
            self._unfold(declared, nesting + 1)
        elif not declared.is_deployment and not existing:
            self.declare(scope, raw.get("resources"), join(path, "resources"), declared, nesting)

    def _unfold(self, declared: Declared, nesting: int) -> None:
        properties = as_object(declared.raw.get("properties"))
        place = descend(declared.path, "properties", "template")
        template = properties.get("template")
        if not isinstance(template, dict):
            self._links.append(declared)
            return
        if nesting > limits.TEMPLATE_NESTED:
            raise LimitError(
                f"Deployments are nested deeper than {limits.TEMPLATE_NESTED}.", where=place, cure="Nest fewer."
            )
        scope = declared.scope
        if str(as_object(properties.get("expressionEvaluationOptions")).get("scope", "outer")).lower() == "inner":
            given = as_object(properties.get("parameters"))
            values = {
                name: scope.value(as_object(entry).get("value"), descend(declared.path, "properties.parameters", name))
                for name, entry in given.items()
            }
            scope = Scope(TemplateValues(template, values, scope.environment, place, scope.values), self)
        self._declared[declared.index] = declared = replace(declared, inner=scope)
        self.declare(scope, template.get("resources"), join(place, "resources"), declared, nesting)

    # ---- look-up

    def close(self) -> None:
        """Everything is declared: from now on resources can be looked up. Two of one id are a TemplateError."""
        self._complete = True
        for declared in self._declared:
            key = (declared.type.lower(), declared.name.lower())
            others = [self._declared[i] for i in self._by_id.get(key, ()) if self._declared[i].active]
            if others and declared.active:
                raise TemplateError(
                    f"{declared.id} is declared twice, first at {others[0].path}.",
                    where=declared.path,
                    cure="Remove one of them.",
                )
            self._by_id.setdefault(key, []).append(declared.index)
            for name in {declared.name, declared.name.split("/")[-1], declared.symbol, declared.loop} - {""}:
                self._by_name.setdefault(name.lower(), []).append(declared.index)

    def _matching(self, name_or_id: str) -> list[Declared]:
        if not self._complete:
            raise TemplateError(
                "Resources cannot be looked up in a name, type, condition or copy count.",
                cure="Use parameters and variables that do not need listKeys or reference.",
            )
        split = split_id(name_or_id)
        if split is not None:
            return [self._declared[i] for i in self._by_id.get((split[0].lower(), split[1].lower()), ())]
        found = [self._declared[i] for i in self._by_name.get(name_or_id.strip("/").lower(), ())]
        whole = [d for d in found if name_or_id.lower() in (d.name.lower(), d.symbol.lower(), d.loop.lower())]
        return whole or found

    def find(self, name_or_id: str) -> tuple[str, str]:
        """Type and full name of a resource given by id, or by a bare name that stands in the template."""
        split = split_id(name_or_id)
        if split is not None:
            return split
        accounts = [d for d in self._matching(name_or_id) if d.type.count("/") == 1] or self._matching(name_or_id)
        with_keys = [d for d in accounts if not d.type.lower().startswith("microsoft.datafactory/")]
        for declared in with_keys or accounts:
            return declared.type, declared.name
        raise self._unknown(name_or_id)

    def reference(self, name_or_id: str, *, full: bool) -> Json:
        """The state of a resource of this template, or of one that exists: its properties and what its service adds."""
        found = next((one for one in self._matching(name_or_id) if one.active or one.existing), None)
        if found is None or found.existing:
            split = (found.type, found.name) if found else split_id(name_or_id)
            if split is None or not self._environment.exists(*split):
                raise self._unknown(name_or_id)
            state = runtime_properties(*split, self._environment.location)
            return {"type": split[0], "name": split[1], "properties": state} if full else state
        return self._state(found, full=full)

    def references(self, symbol: str, *, full: bool) -> list[Json]:
        """The states of what a copy loop with this symbolic name makes."""
        return [self._state(one, full=full) for one in self._matching(symbol) if one.active]

    def _state(self, found: Declared, *, full: bool) -> Json:
        if found.is_deployment:
            template = found.raw["properties"]["template"]
            place = descend(found.path, "properties", "template", "outputs")
            return {"outputs": self.outputs(found.inner or found.scope, template.get("outputs"), place)}
        document = self.document(found)
        location = str(document.get("location") or found.scope.environment.location)
        state = as_object(document.get("properties")) | runtime_properties(found.type, found.name, location)
        if not full:
            return state
        identity = as_object(document.get("identity"))
        if "systemassigned" in str(identity.get("type", "")).lower():
            named = {"principalId": str(uuid5(NAMESPACE_URL, found.id)), "tenantId": self._environment.tenant_id}
            document = {**document, "identity": {**identity, **named}}
        return {**document, "properties": state}

    def _unknown(self, name_or_id: str) -> TemplateError:
        known = [declared.name for declared in self._declared]
        return TemplateError(
            f"The template has no resource {name_or_id!r}.", cure=suggestion(name_or_id, known, "resources")
        )

    # ---- results

    def document(self, declared: Declared) -> dict[str, Json]:
        """The whole resource with everything evaluated, once; steering members are left out."""
        if declared.index in self._documents:
            return self._documents[declared.index]
        if declared.index in self._evaluating:
            raise TemplateError(f"{declared.id} needs its own state.", where=declared.path, cure="Break the circle.")
        self._evaluating.append(declared.index)
        kept = {key: value for key, value in declared.raw.items() if key not in _STEERING}
        document = declared.scope.value(kept, declared.path)
        self._evaluating.pop()
        document |= {"type": declared.type, "name": declared.name}
        guard_size(document)
        self._documents[declared.index] = document
        return dict(document)

    def outputs(self, scope: Scope, raw: Json, path: str) -> dict[str, Json]:
        """Name -> `{type, value}` of the outputs whose condition holds."""
        results: dict[str, Json] = {}
        for name, entry in as_object(raw).items():
            place = join(path, name)
            output = as_object(entry)
            if scope.value(output.get("condition", True), join(place, "condition")) is True:
                loop = output.get("copy")
                if isinstance(loop, dict):
                    value = scope.repeat({**loop, "name": ""}, join(place, "copy"))
                else:
                    value = scope.value(output.get("value"), join(place, "value"))
                results[name] = {"type": output.get("type"), "value": value}
        guard_size(results)
        return results

    def refuse_links(self) -> None:
        """Raise UnsupportedError when the template leaves a part of itself to another file."""
        for declared in self._links[:1]:
            raise UnsupportedError(
                f"The linked template of the deployment {declared.name!r} cannot be fetched.",
                where=descend(declared.path, "properties", "templateLink"),
                cure="Deploy the template that is not split (ARMTemplateForFactory.json), or put the template inline.",
            )

    def made(self) -> list[tuple[str, str, str]]:
        """Type, name and place of everything that is made, before it is evaluated."""
        return [(one.type, one.name, one.path) for one in self._declared if one.active and not one.is_deployment]

    def ordered(self) -> list[Declared]:
        """Every declared resource in deployment order."""
        for declared in self._declared:
            self._needs[declared.index] = self._find_needs(declared)
        inside = self._inside_deployments()
        for index, needed in self._needs.items():
            for other in list(needed):
                if self._declared[other].is_deployment and index not in inside.get(other, ()):
                    needed |= inside.get(other, set())
        labels = [declared.id for declared in self._declared]
        order = deployment_order([declared.type for declared in self._declared], self._needs, labels)
        return [self._declared[index] for index in order]

    def needs_of(self, declared: Declared) -> tuple[str, ...]:
        """The partial ids of what a resource waits for, in the order of the template."""
        needed = sorted(self._needs[declared.index])
        kept = (self._declared[index] for index in needed)
        return tuple(other.id for other in kept if other.active and not other.is_deployment)

    def _find_needs(self, declared: Declared) -> set[int]:
        needed = set() if declared.parent is None else {declared.parent}
        needed |= set(self._parents(declared))
        for position, raw in enumerate(as_list(declared.raw.get("dependsOn"))):
            place = descend(declared.path, "dependsOn", position)
            entry = declared.scope.value(raw, place)
            if not isinstance(entry, str):
                raise TemplateError("The entry is no text.", where=place, cure="Write a name or resource id.")
            found = self._matching(entry)
            if not found:
                error = self._unknown(entry)
                error.where = place
                raise error
            needed |= {other.index for other in found}
        return needed - {declared.index}

    def _parents(self, declared: Declared) -> list[int]:
        """The resource that a flat child (`factory/pipeline`) belongs to, when it stands in the template."""
        kind, _, _ = declared.type.rpartition("/")
        name, _, _ = declared.name.rpartition("/")
        return self._by_id.get((kind.lower(), name.lower()), []) if name else []

    def _inside_deployments(self) -> dict[int, set[int]]:
        inside: dict[int, set[int]] = {}
        for declared in self._declared:
            above = declared.parent
            while above is not None:
                if self._declared[above].is_deployment:
                    inside.setdefault(above, set()).add(declared.index)
                above = self._declared[above].parent
        return inside


def _full(kind: str, name: str, parent: Declared | None, path: str) -> tuple[str, str]:
    """Full type and name of a resource, for children in short and in full form alike."""
    if parent is not None and not parent.is_deployment:
        own = kind.lower().startswith(f"{parent.type.lower()}/")
        if not own and "." not in kind.split("/")[0]:
            kind = f"{parent.type}/{kind}"
            own = True
        if own and name.count("/") + 1 < kind.count("/"):
            name = f"{parent.name}/{name}"
    if "." not in kind.split("/")[0]:
        raise TemplateError(
            f"The type {kind!r} has no namespace.",
            where=join(path, "type"),
            cure="Write it in full, as Microsoft.DataFactory/factories/pipelines; Fabric templates do not run here.",
        )
    try:
        provider_path("The resource", kind, name.split("/"))
    except TemplateError:
        raise TemplateError(
            f"The name {name!r} does not fit the type {kind}.",
            where=join(path, "name"),
            cure=f"Give {kind.count('/')} name part(s) with / between them, one for each part of the type.",
        ) from None
    return kind, name
