"""Deploys every ARM template of a folder into a workspace of its own, exports what came of it and deploys that again.

    .venv/bin/python bench/templates.py FOLDER

Prints one line for each file. Parameters without a default get a value of their type. Fails when a template fails in
another way than by an error that says why, or when the exported factory differs from the one it was taken of.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from kyanite.definitions.arm import read_template
from kyanite.definitions.save import folder_files
from kyanite.errors import KyaniteError
from kyanite.runtime.deploy import deploy
from kyanite.runtime.export import factory_template
from kyanite.runtime.workspace import Workspace, open_workspace

VALUES = {"array": [], "bool": True, "int": 1, "object": {}, "secureobject": {}, "securestring": "a-secret-value"}


def main(folder: Path) -> int:
    """The exit code: 1 when anything went wrong."""
    counts: Counter[str] = Counter()
    for file in sorted(folder.rglob("*.json")):
        outcome, remark = tried(file)
        counts[outcome] += 1
        print(f"{outcome:9} {file.relative_to(folder)}{': ' if remark else ''}{remark}")
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return 1 if counts["different"] or not counts else 0


def tried(file: Path) -> tuple[str, str]:
    """What came of one template."""
    template = read_template(file.read_text("utf-8-sig"), file.name)
    with (
        tempfile.TemporaryDirectory() as place,
        open_workspace(f"{place}/one", create=True) as one,
        open_workspace(f"{place}/two", create=True) as two,
    ):
        try:
            made = deploy(one, template, values(template))
        except KyaniteError as error:
            return "refused", str(error)
        different = [name for name in made.factories if not is_equal(one, two, name)]
        if different:
            return "different", ", ".join(different)
        return "deployed", f"{len(made.resources)} resources"


def is_equal(one: Workspace, two: Workspace, name: str) -> bool:
    """Whether a factory's export makes the same factory elsewhere; its own document is where its new group is."""
    exported = factory_template(one, one.factory(name))
    deploy(two, exported.template, exported.secrets)
    first, second = (without_factory(folder_files(each.factory(name))) for each in (one, two))
    return first == second


def without_factory(files: dict[str, Any]) -> dict[str, Any]:
    """The documents of a git folder but the factory's own."""
    return {path: document for path, document in files.items() if not path.startswith("factory/")}


def values(template: dict[str, Any]) -> dict[str, Any]:
    """A value for each parameter that needs one."""
    found = {}
    for name, each in (template.get("parameters") or {}).items():
        if "defaultValue" not in each:
            kind = str(each.get("type", "string")).lower()
            found[name] = each.get("allowedValues", [VALUES.get(kind, "given")])[0]
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
