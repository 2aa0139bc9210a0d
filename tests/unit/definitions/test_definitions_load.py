"""Git folders, documents and snapshots become the same factory; every broken file is reported with its place."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from kyanite import limits
from kyanite.definitions.arm import read_template
from kyanite.definitions.json_text import read_json
from kyanite.definitions.load import (
    from_snapshot,
    load_documents,
    load_folder,
    with_resource,
    without_resource,
)
from kyanite.definitions.model import make_resource
from kyanite.definitions.save import folder_files
from kyanite.errors import DefinitionError, LimitError, NotFoundError

# Python 3.13 points at the comma itself, older ones at what follows it
TRAILING_COMMA = (":1:13", "Remove the comma") if sys.version_info >= (3, 13) else (":1:14", "double quotes")

PIPELINE = {"name": "Main", "properties": {"activities": [{"name": "W", "type": "Wait"}], "lastPublishTime": "x"}}


def folder(**documents: Any) -> dict[str, str]:
    return {path.replace("__", "/") + ".json": json.dumps(document) for path, document in documents.items()}


def codes(files: dict[str, str]) -> list[str]:
    return [problem.code for problem in load_folder(files).problems]


def test_kind_comes_from_the_folder_and_name_from_inside() -> None:
    factory = load_folder(
        {
            "pipeline/Main.json": json.dumps({"type": "Microsoft.DataFactory/factories/pipelines", **PIPELINE}),
            "dataset/D.json": '{"name": "D", "properties": {"type": "Parquet"}}',
            "linkedService/L.json": '{"name": "L", "properties": {"type": "AzureBlobStorage"}}',
            "trigger/T.json": '{"name": "T", "properties": {"type": "ScheduleTrigger"}}',
            "integrationRuntime/I.json": '{"name": "I", "properties": {"type": "SelfHosted"}}',
            "dataflow/F.json": '{"name": "F", "properties": {}}',
            "credential/C.json": '{"name": "C", "properties": {}}',
            "managedVirtualNetwork/default.json": '{"name": "default", "properties": {}}',
            "managedVirtualNetwork/default/managedPrivateEndpoint/E.json": '{"name": "E", "properties": {}}',
            "factory/fab.json": '{"name": "fab", "location": "westeurope", "properties": {}}',
            "publish_config.json": '{"publishBranch": "adf_publish"}',
            "README.md": "# not a resource",
        }
    )
    assert factory.problems == ()
    assert (factory.name, factory.location) == ("fab", "westeurope")
    assert list(factory.pipelines) == ["Main"]
    assert list(factory.datasets) == ["D"]
    assert list(factory.linked_services) == ["L"]
    assert list(factory.triggers) == ["T"]
    assert list(factory.integration_runtimes) == ["I"]
    assert [(r.kind, r.name) for r in factory.others] == [
        ("credential", "C"),
        ("dataflow", "F"),
        ("managedVirtualNetwork", "default"),
        ("managedPrivateEndpoint", "default/E"),
    ]


@pytest.mark.parametrize("path", ["pipeline/A.json!", "pipeline/A.json#", "pipeline/~A.json", "docs/A.json", "A.json"])
def test_files_that_are_no_resources_are_left_alone(path: str) -> None:
    factory = load_folder({path: "not json", "pipeline/Main.json": json.dumps(PIPELINE)})
    assert (factory.problems, list(factory.pipelines)) == ((), ["Main"])


def test_the_inner_name_wins_with_a_warning() -> None:
    factory = load_folder({"pipeline/Other.json": json.dumps(PIPELINE)})
    assert list(factory.pipelines) == ["Main"]
    [problem] = factory.problems
    assert (problem.severity, problem.code, problem.file) == ("warning", "NameDiffers", "pipeline/Other.json")


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ('{"name": "A",}', *TRAILING_COMMA),
        ('{\n "name": "A"\n "properties": {}}', ":3:2", "comma between"),
        ('{"name" "A"}', ":1:9", "colon"),
        ('{"name": }', ":1:10", "value here"),
        ('{"name": "A"} {}', ":1:15", "one JSON value"),
        ('{"name": "A\n"}', ":1:12", "\\n"),
        ('{"name": "C:\\work"}', ":1:13", "\\\\"),
        ('{"name": "A', ":1:10", "Close the text"),
        ('{\n// note\n"name": "A"}', ":2:1", "comment"),
        ('{\n<<<<<<< HEAD\n"name": "A"}', ":2:1", "merge conflict"),
        ("", ":1:1", "delete"),
        ('{"name": NaN}', "", "number as a text"),
    ],
)
def test_broken_json_says_file_line_column_and_cure(text: str, place: str, cure: str) -> None:
    [problem] = load_folder({"pipeline/A.json": text}).problems
    assert (problem.severity, problem.code) == ("error", "BrokenJson")
    assert problem.file == f"pipeline/A.json{place}"
    assert cure in problem.cure


def test_all_problems_of_a_folder_come_at_once_and_the_rest_is_loaded() -> None:
    files = {
        "pipeline/A.json": "{",
        "pipeline/B.json": "[]",
        "pipeline/Main.json": json.dumps(PIPELINE),
        "pipeline/main2.json": json.dumps({"name": "MAIN", "properties": {}}),
        "dataset/D.json": '{"name": "D", "name": "D", "properties": {}}',
        "dataset/E.json": '{"properties": {}}',
        "dataset/F.json": '{"name": 7, "properties": {}}',
        "factory/a.json": '{"name": "a"}',
        "factory/b.json": '{"name": "b"}',
        "linkedService/L.json": json.dumps({"name": "L", "deep": eval("[" * 70 + "]" * 70)}),
    }
    factory = load_folder(files)
    assert sorted(problem.code for problem in factory.problems) == [
        "BadName",
        "BrokenJson",
        "DuplicateMember",
        "DuplicateName",
        "LimitExceeded",
        "NameDiffers",
        "NameMissing",
        "NotAnObject",
        "SecondFactoryFile",
    ]
    assert list(factory.pipelines) == ["Main"]
    assert list(factory.datasets) == ["D", "E", "F"]


def test_an_empty_folder_is_an_error() -> None:
    assert codes({"README.md": "x"}) == ["NoResources"]


def test_a_name_that_differs_in_case_only_is_fine() -> None:
    assert codes({"pipeline/MAIN.json": json.dumps(PIPELINE)}) == []


def test_comments_are_allowed_in_templates_only() -> None:
    text = '{ // one\n "a": "// no comment", /* two\n lines */ "b": "\\"/*", }'
    with pytest.raises(DefinitionError, match=r"x.json:1:3: .* comment"):
        read_json(text, "x.json")
    with pytest.raises(DefinitionError, match=r"x.json:3:2[24]: .*comma"):
        read_template(text, "x.json")
    assert read_template(text.replace(", }", "}"), "x.json") == {"a": "// no comment", "b": '"/*'}


def test_byte_order_mark_is_accepted() -> None:
    factory = load_folder({"pipeline/Main.json": "\ufeff" + json.dumps(PIPELINE)})
    assert (factory.problems, list(factory.pipelines)) == ((), ["Main"])


def test_depth_limit_is_ours_and_exact() -> None:
    fine = "[" * limits.JSON_DEPTH + "]" * limits.JSON_DEPTH
    assert read_json(fine, "x.json") is not None
    with pytest.raises(LimitError, match="64 levels"):
        read_json(f"[{fine}]", "x.json")
    with pytest.raises(LimitError, match="64 levels"):
        read_json("[" * 200_000 + "]" * 200_000, "x.json")


def test_size_and_member_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", 20)
    assert read_json('"' + "a" * 18 + '"', "x.json") == "a" * 18
    with pytest.raises(LimitError, match="20 bytes"):
        read_json('"' + "a" * 19 + '"', "x.json")
    with pytest.raises(LimitError, match="20 bytes"):
        read_json('"' + "é" * 10 + '"', "x.json")
    monkeypatch.setattr(limits, "JSON_KEYS", 3)
    assert read_json("[1,2,3]", "x.json") == [1, 2, 3]
    with pytest.raises(LimitError, match="3 members"):
        read_json("[1,2,3,4]", "x.json")


def test_texts_no_file_can_keep_and_numbers_no_program_should_read() -> None:
    with pytest.raises(DefinitionError, match="surrogate"):
        read_json('["\\ud800"]', "x.json")
    with pytest.raises(DefinitionError):
        read_json("9" * 5000, "x.json")


def test_lookups_ignore_case_keep_the_spelling_and_name_near_names() -> None:
    factory = load_folder(folder(pipeline__CopyParquet={"name": "CopyParquet", "properties": {}}))
    assert factory.pipelines["copyparquet"].name == "CopyParquet"
    assert factory.pipelines.get("COPYPARQUET").name == "CopyParquet"
    assert "cOpYpArQuEt" in factory.pipelines and "other" not in factory.pipelines
    assert factory.pipelines.get("other", None) is None
    with pytest.raises(NotFoundError, match="Did you mean 'CopyParquet'"):
        factory.pipelines["CopyParkett"]
    with pytest.raises(NotFoundError, match="Known pipelines: CopyParquet"):
        factory.pipelines.get("x")
    with pytest.raises(NotFoundError, match="There are no triggers"):
        factory.triggers["x"]


def test_an_unknown_name_says_when_files_could_not_be_read() -> None:
    factory = load_folder({"pipeline/A.json": "{", "pipeline/Main.json": json.dumps(PIPELINE)})
    with pytest.raises(NotFoundError, match=r"1 problem\(s\) were met while reading"):
        factory.pipelines["A"]


def test_global_parameters_from_factory_file_and_from_their_own_file() -> None:
    parameters = {"env": {"type": "string", "value": "dev"}, "odd-name": {"type": "object", "value": "{ text }"}}
    inside = load_folder(folder(factory__f={"name": "f", "properties": {"globalParameters": parameters}}))
    beside = load_folder(folder(globalParameters__f_GlobalParameters=parameters), name="f")
    assert inside.global_parameters == {"env": "dev", "odd-name": "{ text }"} == beside.global_parameters
    assert inside == beside
    assert load_documents("f", [("globalParameters", {"name": "default", "properties": parameters})]) == inside


def test_documents_and_folder_give_the_same_factory() -> None:
    files = folder(pipeline__Main=PIPELINE, dataset__D={"name": "D", "properties": {"type": "Json"}})
    given = load_documents("f", [("dataset", {"name": "D", "properties": {"type": "Json"}}), ("pipeline", PIPELINE)])
    assert given == load_folder(files, name="f")
    assert given != load_folder(files, name="g")
    changed = load_folder(files | folder(dataset__D={"name": "D", "properties": {"type": "Avro"}}), name="f")
    assert given != changed
    with pytest.raises(DefinitionError, match="no name"):
        load_documents("f", [("pipeline", {"properties": {}})])


def test_resources_are_put_and_removed_by_name_without_case() -> None:
    factory = load_documents("f", [("pipeline", PIPELINE)])
    replaced = with_resource(factory, make_resource("pipeline", "MAIN", {"name": "MAIN", "properties": {}}))
    assert [p.name for p in replaced.pipelines.values()] == ["MAIN"]
    both = with_resource(factory, make_resource("dataset", "Main", {"name": "Main"}))
    assert len(both.resources) == 2
    assert without_resource(both, "dataset", "main") == factory
    with pytest.raises(NotFoundError):
        without_resource(factory, "dataset", "main")


def test_saving_keeps_triggers_global_parameters_and_file_names() -> None:
    files = folder(
        trigger__T={"name": "T", "properties": {"type": "ScheduleTrigger", "runtimeState": "Started"}},
        globalParameters__f_GlobalParameters={"env": {"type": "string", "value": "dev"}},
        pipeline__Odd={"name": "Main", "properties": {}},
    )
    files["managedVirtualNetwork/default/managedPrivateEndpoint/E.json"] = '{"name": "E", "properties": {}}'
    saved = folder_files(load_folder(files, name="f"))
    assert saved == {path: json.loads(text) for path, text in sorted(files.items())}


def test_files_from_documents_get_the_git_layout() -> None:
    factory = load_documents(
        "f",
        [
            ("globalParameters", {"name": "default", "properties": {"a": {"type": "int", "value": 1}}}),
            ("pipeline", {"name": "Currency Converter", "properties": {}}),
        ],
    )
    assert folder_files(factory) == {
        "globalParameters/f_GlobalParameters.json": {"a": {"type": "int", "value": 1}},
        "pipeline/Currency Converter.json": {"name": "Currency Converter", "properties": {}},
    }


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "a\\b"])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be a file"):
        folder_files(load_documents("f", [("pipeline", {"name": name, "properties": {}})]))


def test_a_snapshot_of_another_format_is_refused() -> None:
    with pytest.raises(DefinitionError, match="format 99"):
        from_snapshot({"format": 99})
