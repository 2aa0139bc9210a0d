"""From a path to the route that answers it, whatever the case of its literal parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from kyanite.server.management.arm import ArmError, Provider, Route
from kyanite.server.management.providers import RESOURCES

_OF_THE_PROVIDER_ITSELF = ("register", "unregister")


@dataclass(frozen=True)
class Found:
    """A route and what its `{names}` stand for."""

    route: Route
    names: Mapping[str, str]


@dataclass
class _Node:
    parts: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """The routes of all providers as one tree. A literal part wins over a `{name}`."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._root = _Node()
        for provider in providers:
            for route in provider.routes:
                self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for part in route.template.strip("/").split("/"):
            if part.startswith("{"):
                names.append(part[1:-1])
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.parts.setdefault(part.lower(), _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.template} stands twice in the route tables")
        node.routes[route.method] = (route, tuple(names))

    def find(self, method: str, segments: tuple[str, ...]) -> Found:
        """The route of a call; ArmError 404 for an unknown path, 405 when it has other methods."""
        allowed: set[str] = set()
        for node, values in _matches(self._root, segments, ()):
            if method in node.routes:
                route, names = node.routes[method]
                return Found(route, dict(zip(names, values, strict=True)))
            allowed |= node.routes.keys()
        if allowed:
            raise ArmError(
                f"The requested resource does not support http method '{method}'.",
                code="MethodNotAllowed",
                status=405,
                headers={"allow": ", ".join(sorted(allowed))},
            )
        raise unknown_path(segments)


def split_path(raw_path: str) -> tuple[str, ...]:
    """The decoded parts of a path; doubled slashes count as one."""
    return tuple(unquote(part) for part in raw_path.split("/") if part)


def namespace_of(segments: tuple[str, ...]) -> str:
    """The namespace that answers for a path, in lower case: the last one in it, otherwise that of the groups."""
    for index in range(len(segments) - 2, -1, -1):
        if segments[index].lower() == "providers":
            below = segments[index + 2 :]
            if not below or below[0].lower() in _OF_THE_PROVIDER_ITSELF:
                return RESOURCES
            return segments[index + 1].lower()
    return RESOURCES


def unknown_path(segments: tuple[str, ...]) -> ArmError:
    """What a path without a route is answered with; it names the namespace that kyanite does not have."""
    from kyanite.server.management.providers import PROVIDERS

    namespace = namespace_of(segments)
    if namespace not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        return ArmError(
            f"kyanite has nothing of the namespace '{namespace[:80]}'. It has: {known}.",
            code="NotSupported",
            status=501,
            target=namespace[:80],
        )
    path = "/".join(segments)[:400]
    return ArmError(f"There is no operation at the path '/{path}'.", code="InvalidResourceType", status=404)


def _matches(
    node: _Node, segments: tuple[str, ...], values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    if not segments:
        if node.routes:
            yield node, values
        return
    literal = node.parts.get(segments[0].lower())
    if literal is not None:
        yield from _matches(literal, segments[1:], values)
    if node.any is not None:
        yield from _matches(node.any, segments[1:], (*values, segments[0]))
