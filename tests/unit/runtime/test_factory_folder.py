"""A factory's folder: written only where it differs, in its own style; linked folders; publishing a working copy."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kyanite.definitions.load import with_resource, without_resource
from kyanite.definitions.model import make_resource
from kyanite.errors import ConflictError, DefinitionError, NotFoundError, StateError
from kyanite.runtime.factory_folder import (
    in_order_of,
    link_factory,
    linked_folder,
    read_factory,
    write_changes,
    write_document,
)
from kyanite.runtime.factory_shelf import FactoryShelf
from kyanite.runtime.publish import differences, publish, published_factory, working_copy
from kyanite.runtime.triggers import runtime_state, start_trigger
from kyanite.runtime.workspace import Workspace, open_workspace

NOW = datetime(2024, 1, 31, 6, tzinfo=UTC)
SECRET = "c2VjcmV0LXN0b3JhZ2Uta2V5"


def wait(name: str, seconds: int = 1) -> dict[str, Any]:
    activity = {"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": seconds}}
    return {"name": name, "properties": {"activities": [activity]}}


def schedule(name: str, interval: int = 1) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "type": "ScheduleTrigger",
            "pipelines": [{"pipelineReference": {"referenceName": "P", "type": "PipelineReference"}}],
            "typeProperties": {
                "recurrence": {
                    "frequency": "Minute",
                    "interval": interval,
                    "startTime": "2020-01-01T00:00:00Z",
                    "timeZone": "UTC",
                }
            },
        },
    }


def write(folder: Path, path: str, document: dict[str, Any], indent: str | int = 4) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=indent), "utf-8")
    return file


@pytest.fixture
def workspace(tmp_path: Path):
    with open_workspace(tmp_path / "home", create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    write(made, "pipeline/P.json", wait("P"))
    write(made, "trigger/T.json", schedule("T"))
    write(made, "factory/mine.json", {"name": "mine", "properties": {}, "location": "local"})
    (made / "README.md").write_text("of the repository", "utf-8")
    return made


# ---- writing


def test_only_what_differs_is_written_in_the_style_of_the_file(workspace: Workspace, folder: Path) -> None:
    tabbed = write(folder, "pipeline/Tabbed.json", wait("Tabbed"), "\t")
    before = read_factory(workspace.vault, folder, None)
    changed = dict(before.pipelines["Tabbed"].document)
    changed = {"properties": {**changed["properties"], "description": "new"}, "name": "Tabbed"}
    after = with_resource(before, make_resource("pipeline", "Tabbed", changed, "pipeline/Tabbed.json"))
    after = with_resource(after, make_resource("dataset", "New", {"name": "New", "properties": {"type": "Binary"}}))
    after = without_resource(after, "trigger", "T")
    stamp = (folder / "pipeline/P.json").stat().st_mtime_ns
    done = write_changes(folder, workspace.vault, before, after)
    assert done == ["dataset/New.json", "pipeline/Tabbed.json", "trigger/T.json"]
    assert (folder / "pipeline/P.json").stat().st_mtime_ns == stamp
    wanted = {"name": "Tabbed", "properties": {**wait("Tabbed")["properties"], "description": "new"}}
    assert tabbed.read_text("utf-8") == json.dumps(wanted, indent="\t")
    assert not (folder / "trigger/T.json").exists()
    assert (folder / "dataset/New.json").read_text("utf-8").endswith("}\n")
    assert (folder / "README.md").exists()
    assert read_factory(workspace.vault, folder, None) == after
    assert list(folder.rglob(".*")) == []


@pytest.mark.parametrize(
    ("new", "old", "wanted"),
    [
        ({"b": 1, "a": 2}, {"a": 0, "b": 0}, '{"a": 2, "b": 1}'),
        ({"new": 1, "a": 2}, {"a": 0, "gone": 0}, '{"a": 2, "new": 1}'),
        ([{"name": "x", "b": 1, "a": 1}], [{"name": "y", "b": 1}, {"a": 0, "b": 0, "name": "x"}], None),
        ([{"b": 1, "a": 2}, {"c": 1}], [{"a": 0, "b": 0}], '[{"a": 2, "b": 1}, {"c": 1}]'),
        ("text", {"a": 1}, '"text"'),
        ({"a": {"y": 1, "x": 2}}, None, '{"a": {"y": 1, "x": 2}}'),
    ],
)
def test_members_keep_the_order_they_had(new: Any, old: Any, wanted: str | None) -> None:
    ordered = in_order_of(new, old)
    assert ordered == new
    assert json.dumps(ordered) == (wanted or '[{"a": 1, "b": 1, "name": "x"}]')


def test_a_change_by_another_shelf_is_seen_before_writing(workspace: Workspace, folder: Path) -> None:
    link_factory(workspace, folder)
    first, second = FactoryShelf(workspace), FactoryShelf(workspace)
    first.get("mine")

    def add(shelf: FactoryShelf, name: str) -> None:
        shelf.change("mine", lambda live: with_resource(live.factory, make_resource("pipeline", name, wait(name))))

    add(second, "A")
    add(first, "B")
    assert {"A", "B", "P"} == set(FactoryShelf(workspace).get("MINE").factory.pipelines)
    assert first.change("mine", lambda live: live.factory) is not None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "pipeline/P.json"
    before = file.read_bytes()
    left = folder / "pipeline" / f".Q.json.{2**22 + 1}.new"  # of a process that cannot be: it was killed
    left.write_text("half", "utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left"):
            write_document(file, workspace.vault, wait("P", 9), wait("P"))
    assert file.read_bytes() == before
    assert [path.name for path in (folder / "pipeline").iterdir()] == ["P.json"]


def test_many_threads_change_one_factory(workspace: Workspace, folder: Path) -> None:
    link_factory(workspace, folder)
    shelf = FactoryShelf(workspace)

    def add(number: int) -> None:
        name = f"Q{number}"
        shelf.change("mine", lambda live: with_resource(live.factory, make_resource("pipeline", name, wait(name))))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    names = {"P", *(f"Q{number}" for number in range(24))}
    assert set(shelf.get("mine").factory.pipelines) == names
    assert set(workspace.factory("mine").pipelines) == names


# ---- links


def test_a_linked_folder_is_the_factory(workspace: Workspace, folder: Path) -> None:
    assert link_factory(workspace, folder) == "mine"
    assert linked_folder(workspace, "mine") == folder.resolve()
    assert workspace.factories() == ["mine"]
    write(folder, "pipeline/Q.json", wait("Q"))
    assert set(workspace.factory("mine").pipelines) == {"P", "Q"}
    other = folder.parent / "other"
    write(other, "pipeline/R.json", wait("R"))
    assert link_factory(workspace, other, "mine") == "mine"
    assert set(workspace.factory("mine").pipelines) == {"R"}


def test_a_factory_that_differs_is_not_replaced_by_a_link(workspace: Workspace, folder: Path) -> None:
    workspace.save_factory(working_copy(workspace, folder))
    assert linked_folder(workspace, "mine") is None
    write(folder, "pipeline/P.json", wait("P", 2))
    with pytest.raises(ConflictError, match="differs"):
        link_factory(workspace, folder)
    publish(workspace, working_copy(workspace, folder), now=NOW)
    assert link_factory(workspace, folder) == "mine"
    assert linked_folder(workspace, "mine") == folder.resolve()
    with pytest.raises(NotFoundError):
        link_factory(workspace, folder / "nothing")


def test_saving_a_linked_factory_writes_its_folder_without_secrets(workspace: Workspace, folder: Path) -> None:
    link_factory(workspace, folder)
    workspace.vault.put("a key", SECRET)
    factory = workspace.factory("mine")
    text = f"AccountName=a;AccountKey={SECRET}"
    service = {"name": "S", "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": text}}}
    kept = with_resource(factory, make_resource("linkedService", "S", service))
    moved = replace(kept, resources=tuple(make_resource(r.kind, r.name, r.document) for r in kept.resources))
    workspace.save_factory(moved)
    written = (folder / "linkedService/S.json").read_text("utf-8")
    assert SECRET not in written
    assert "~secret:" in written
    assert linked_folder(workspace, "mine") == folder.resolve()
    assert workspace.factory("mine").linked_services["S"].type_properties["connectionString"] == text
    assert sorted(path.name for path in (folder / "pipeline").iterdir()) == ["P.json"]


# ---- diff and publish


def test_nothing_is_published_at_first_and_then_nothing_differs(workspace: Workspace, folder: Path) -> None:
    copy = working_copy(workspace, folder)
    found = differences(workspace, copy, published_factory(workspace, copy.name))
    assert [(each.kind, each.name, each.change) for each in found] == [
        ("pipeline", "P", "added"),
        ("trigger", "T", "added"),
    ]
    done = publish(workspace, copy, now=NOW)
    assert len(done.differences) == 2
    assert publish(workspace, working_copy(workspace, folder), now=NOW).differences == ()
    assert workspace.factory("mine") == copy


def test_a_difference_is_shown_by_line_and_without_secrets(workspace: Workspace, folder: Path) -> None:
    publish(workspace, working_copy(workspace, folder), now=NOW)
    write(folder, "pipeline/P.json", wait("P", 7))
    secret = {"type": "AzureBlobStorage", "typeProperties": {"connectionString": f"AccountKey={SECRET}"}}
    write(folder, "linkedService/S.json", {"name": "S", "properties": secret})
    (folder / "trigger/T.json").unlink()
    copy = working_copy(workspace, folder)
    service, pipeline, trigger = differences(workspace, copy, workspace.factory("mine"))
    assert (service.change, pipeline.change, trigger.change) == ("added", "changed", "deleted")
    assert '-          "waitTimeInSeconds": 1' in pipeline.lines
    assert '+          "waitTimeInSeconds": 7' in pipeline.lines
    assert not any(SECRET in line for line in service.lines)


def test_publishing_starts_changed_triggers_again_and_stops_those_that_are_gone(
    workspace: Workspace, folder: Path
) -> None:
    for name in ("Gone", "Same", "Stopped", "Broken"):
        write(folder, f"trigger/{name}.json", schedule(name))
    publish(workspace, working_copy(workspace, folder), now=NOW)
    factory = workspace.factory("mine")
    for name in ("T", "Gone", "Same", "Broken"):
        start_trigger(workspace, factory, name, now=NOW)
    write(folder, "trigger/T.json", schedule("T", 5))
    write(folder, "trigger/Stopped.json", schedule("Stopped", 5))
    (folder / "trigger/Gone.json").unlink()
    broken = schedule("Broken")
    broken["properties"]["pipelines"][0]["pipelineReference"]["referenceName"] = "Nothing"
    write(folder, "trigger/Broken.json", broken)
    done = publish(workspace, working_copy(workspace, folder), now=NOW)
    assert (done.restarted, done.stopped) == (("T",), ("Gone",))
    assert len(done.problems) == 1
    assert "Broken" in done.problems[0]
    factory = workspace.factory("mine")
    states = {name: runtime_state(workspace, factory, trigger)[0] for name, trigger in factory.triggers.items()}
    assert states == {"T": "Started", "Same": "Started", "Stopped": "Stopped", "Broken": "Stopped"}


def test_a_runtime_state_in_the_folder_is_no_difference(workspace: Workspace, folder: Path) -> None:
    publish(workspace, working_copy(workspace, folder), now=NOW)
    trigger = schedule("T")
    trigger["properties"]["runtimeState"] = "Started"
    write(folder, "trigger/T.json", trigger)
    assert differences(workspace, working_copy(workspace, folder), workspace.factory("mine")) == []


def test_a_file_that_cannot_be_read_is_not_published(workspace: Workspace, folder: Path) -> None:
    (folder / "pipeline/P.json").write_text("{", "utf-8")
    with pytest.raises(DefinitionError):
        publish(workspace, working_copy(workspace, folder), now=NOW)
    assert workspace.factories() == []
    with pytest.raises(NotFoundError):
        working_copy(workspace, folder / "nothing")
