"""Documents -> Factory: from a git folder, from (kind, document) pairs, from a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kyanite.definitions.json_text import check_shape, read_json
from kyanite.definitions.model import ARM_SEGMENTS, Factory, Resource, make_resource
from kyanite.definitions.problem import Problem, Severity
from kyanite.errors import DefinitionError, KyaniteError, LimitError, NotFoundError

Json = Any

_KINDS = {kind.lower(): kind for kind in (*ARM_SEGMENTS, "factory")}
_SNAPSHOT_FORMAT = 1


@dataclass
class _Reading:
    """What one pass over a folder collects."""

    resources: list[Resource] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    factories: list[Resource] = field(default_factory=list)

    def report(self, code: str, file: str, message: str, cure: str, severity: Severity = "error") -> None:
        self.problems.append(Problem(severity, code, file, "", message, cure))


def load_folder(files: Mapping[str, str], name: str | None = None) -> Factory:
    """The factory of a git folder given as relative path -> text.

    Never raises for what is in the files: each problem is kept in `Factory.problems`, the readable rest is loaded.
    `name` wins over the name in `factory/*.json`; without both the factory is called `factory`.
    """
    reading = _Reading()
    for path in sorted(files):
        kind = _kind_of(path)
        if kind is not None:
            _read_file(reading, kind, path, files[path])
    _drop_duplicates(reading)
    own = reading.factories[0] if reading.factories else None
    for extra in reading.factories[1:]:
        reading.report(
            "SecondFactoryFile",
            extra.place,
            f"The folder holds a second factory document; {reading.factories[0].place} is used.",
            "Keep one file in factory/.",
            "warning",
        )
    if not reading.resources and own is None and not reading.problems:
        reading.report(
            "NoResources",
            ".",
            "The folder holds no Data Factory resources.",
            "Name the folder that has pipeline/, dataset/ and linkedService/ in it.",
        )
    return Factory(
        name=name or (own.name if own else "factory"),
        resources=tuple(reading.resources),
        document=own.document if own else {},
        file=own.file if own else None,
        problems=tuple(reading.problems),
    )


def load_documents(name: str, documents: Iterable[tuple[str, Mapping[str, Json]]]) -> Factory:
    """The factory of (kind, document) pairs, as REST calls and ARM templates give them; kinds are folder names.

    A document of the kind `factory` is the factory's own. Raises DefinitionError for a document without a name.
    """
    resources: list[Resource] = []
    own: Mapping[str, Json] = {}
    for kind, document in documents:
        check_shape(document, f"{kind} {document.get('name', '')}".strip())
        if kind == "factory":
            own = document
            continue
        inner = document.get("name")
        if not isinstance(inner, str) or not inner:
            raise DefinitionError(f"A document of the kind {kind} has no name.", cure='Give it a "name".')
        resources.append(make_resource(kind, inner, document))
    reading = _Reading(resources=resources)
    _drop_duplicates(reading)
    return Factory(name, tuple(reading.resources), own, problems=tuple(reading.problems))


def to_snapshot(factory: Factory) -> dict[str, Json]:
    """The factory as one JSON document that `from_snapshot` turns into the same factory again, nothing lost."""
    return {
        "format": _SNAPSHOT_FORMAT,
        "name": factory.name,
        "file": factory.file,
        "document": factory.document,
        "resources": [
            {"kind": r.kind, "name": r.name, "file": r.file, "document": r.document} for r in factory.resources
        ],
    }


def from_snapshot(snapshot: Mapping[str, Json]) -> Factory:
    """The factory kept by `to_snapshot`."""
    if snapshot.get("format") != _SNAPSHOT_FORMAT:
        raise DefinitionError(
            f"The snapshot has the format {snapshot.get('format')!r}, not {_SNAPSHOT_FORMAT}.",
            cure="Use the version of kyanite that wrote it, or a newer one.",
        )
    return Factory(
        name=snapshot["name"],
        resources=tuple(make_resource(r["kind"], r["name"], r["document"], r["file"]) for r in snapshot["resources"]),
        document=snapshot["document"],
        file=snapshot["file"],
    )


def with_resource(factory: Factory, resource: Resource) -> Factory:
    """The factory with a resource added, or put in the place of the one with the same kind and name."""
    key = (resource.kind, resource.name.lower())
    kept = [resource if (r.kind, r.name.lower()) == key else r for r in factory.resources]
    if not any(r is resource for r in kept):
        kept.append(resource)
    return replace(factory, resources=tuple(kept))


def without_resource(factory: Factory, kind: str, name: str) -> Factory:
    """The factory without one resource; NotFoundError when there is none of that kind and name."""
    kept = tuple(r for r in factory.resources if (r.kind, r.name.lower()) != (kind, name.lower()))
    if len(kept) == len(factory.resources):
        raise NotFoundError(f"There is no {kind} {name!r}.")
    return replace(factory, resources=kept)


def _kind_of(path: str) -> str | None:
    """The kind a file belongs to, or None for files that are no resources (`x.json!`, files at the root)."""
    parts = path.split("/")
    if len(parts) < 2 or not path.lower().endswith(".json") or parts[-1].startswith(("~", ".")):
        return None
    if len(parts) > 2 and parts[-2].lower() == "managedprivateendpoint":
        return "managedPrivateEndpoint"
    return _KINDS.get(parts[0].lower())


def _read_file(reading: _Reading, kind: str, path: str, text: str) -> None:
    def warn(message: str, cure: str) -> None:
        reading.report("DuplicateMember", path, message, cure, "warning")

    try:
        document = read_json(text, path, warn=warn)
    except KyaniteError as error:
        code = "LimitExceeded" if isinstance(error, LimitError) else "BrokenJson"
        reading.report(code, error.where or path, error.message, error.cure or "")
        return
    if not isinstance(document, dict):
        reading.report(
            "NotAnObject", path, "The document is no JSON object.", 'Write {"name": ..., "properties": {...}}.'
        )
        return
    stem = path.split("/")[-1][: -len(".json")]
    if kind == "globalParameters" and "properties" not in document:
        document = {"name": stem, "properties": document}
    name = _name_in(reading, document, path, stem, compare=kind not in ("factory", "globalParameters"))
    if kind == "managedPrivateEndpoint":
        name = f"{path.split('/')[-3]}/{name}"
    (reading.factories if kind == "factory" else reading.resources).append(make_resource(kind, name, document, path))


def _name_in(reading: _Reading, document: dict[str, Json], path: str, stem: str, *, compare: bool) -> str:
    inner = document.get("name")
    if inner is None:
        reading.report(
            "NameMissing", path, f"The document has no name; the file name {stem!r} is used.", 'Add "name".', "warning"
        )
        return stem
    if not isinstance(inner, str) or not inner:
        reading.report("BadName", path, "The name is no text, or is empty.", 'Write "name" as a text.')
        return stem
    if compare and inner.lower() != stem.lower():
        reading.report(
            "NameDiffers",
            path,
            f"The name inside is {inner!r}, the file is called {stem!r}; the name inside is used.",
            f"Rename the file to {inner}.json, or correct the name.",
            "warning",
        )
    return inner


def _drop_duplicates(reading: _Reading) -> None:
    first: dict[tuple[str, str], Resource] = {}
    kept: list[Resource] = []
    for resource in reading.resources:
        key = (resource.kind, resource.name.lower())
        if key in first:
            reading.report(
                "DuplicateName",
                resource.place,
                f"There is a second {resource.kind} named {resource.name!r}; {first[key].place} is used.",
                "Rename or delete one of them; names compare without case.",
            )
            continue
        first[key] = resource
        kept.append(resource)
    reading.resources = kept
