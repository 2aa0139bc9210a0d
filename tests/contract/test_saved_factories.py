"""Factories kept in a workspace: replaced as a whole, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kyanite.definitions.load import load_documents
from kyanite.definitions.model import Factory
from kyanite.errors import DefinitionError
from kyanite.runtime import workspace as module
from kyanite.runtime.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "home", create=True) as opened:
        yield opened


def factory(*pipelines: str) -> Factory:
    return load_documents("f", [("pipeline", {"name": name, "properties": {"activities": []}}) for name in pipelines])


def test_a_factory_is_replaced_as_a_whole(workspace: Workspace) -> None:
    workspace.save_factory(factory("a", "b"))
    workspace.save_factory(factory("b", "c"))
    assert sorted(workspace.factory("f").pipelines) == ["b", "c"]
    assert [entry.name for entry in (workspace.home / "factories").iterdir()] == ["f"]


@pytest.mark.parametrize("step", ["write", "exchange", "remove"])
def test_a_kill_leaves_the_old_or_the_new_factory(
    workspace: Workspace, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.save_factory(factory("old"))

    def killed(*_arguments: Any, **_named: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(Path, "write_text", killed)
        elif step == "exchange":
            patch.setattr(module, "exchange", killed)
        else:
            calls: list[Path] = []
            patch.setattr(module, "_remove_tree", lambda path: killed() if calls else calls.append(path))
        with pytest.raises(SystemExit):
            workspace.save_factory(factory("new"))
    assert workspace.factories() == ["f"]
    assert list(workspace.factory("f").pipelines) == ["new" if step == "remove" else "old"]
    workspace.save_factory(factory("newer"))
    assert list(workspace.factory("f").pipelines) == ["newer"]
    assert [entry.name for entry in (workspace.home / "factories").iterdir()] == ["f"]


@pytest.mark.parametrize("name", ["", ".", "..", "../../out", "/tmp/out", ".new-f", "a/b", "a\\b", "a\0b", "a\nb"])
def test_no_name_leads_out_of_the_workspace(workspace: Workspace, name: str) -> None:
    before = sorted(workspace.home.parent.rglob("*"))
    with pytest.raises(DefinitionError):
        workspace.save_factory(Factory(name=name, resources=factory("a").resources))
    assert sorted(workspace.home.parent.rglob("*")) == before


def test_two_at_once_do_not_mix(workspace: Workspace) -> None:
    sets = [tuple(f"{letter}{number}" for number in range(20)) for letter in "xy"]

    def save(names: tuple[str, ...]) -> None:
        with open_workspace(workspace.home) as own:
            for _ in range(5):
                own.save_factory(factory(*names))

    threads = [threading.Thread(target=save, args=(names,)) for names in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tuple(sorted(workspace.factory("f").pipelines)) in [tuple(sorted(names)) for names in sets]
