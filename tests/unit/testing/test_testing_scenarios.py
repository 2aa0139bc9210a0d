"""What other test kits for Data Factory show in their suites, as tests of this one: our own pipelines and words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kyanite.definitions.load import load_documents
from kyanite.errors import ExpressionError, NotFoundError
from kyanite.testing import FactoryUnderTest, PipelineRun, evaluate, hangs, load_factory, succeeded

Json = Any
LISTING = "<List><Dir><Name>a_1</Name></Dir><Dir><Name>a_2</Name></Dir></List>"


def factory_of(*pipelines: Json) -> FactoryUnderTest:
    return load_factory(load_documents("scenarios", [("pipeline", document) for document in pipelines]))


def pipeline(name: str, *activities: Json, **members: Json) -> Json:
    return {"name": name, "properties": {"activities": list(activities), **members}}


def activity(name: str, kind: str, after: str = "", **properties: Json) -> Json:
    depends = [{"activity": after, "dependencyConditions": ["Succeeded"]}] if after else []
    return {"name": name, "type": kind, "dependsOn": depends, "typeProperties": properties}


def setting(name: str, variable: str, value: str, after: str = "") -> Json:
    return activity(name, "SetVariable", after, variableName=variable, value={"value": value, "type": "Expression"})


def texts(*names: str) -> Json:
    return {name: {"type": "String"} for name in names}


def run(*pipelines: Json, **options: Any) -> PipelineRun:
    return factory_of(*pipelines).run(pipelines[0]["name"], **options)


def test_an_output_is_read_by_a_later_activity() -> None:
    fetch = activity("Fetch", "WebActivity", url="https://example.org/version", method="GET")
    keep = setting("Keep", "version", "@activity('Fetch').output.version", "Fetch")
    finished = run(pipeline("main", fetch, keep, variables=texts("version")), mocks={"Fetch": {"version": "1.2.3"}})
    assert finished.activity("Fetch").input == {"url": "https://example.org/version", "method": "GET"}
    assert finished.variables == {"version": "1.2.3"}


@pytest.mark.parametrize(("start", "more", "end"), [([1, 2], 3, [1, 2, 3]), ([], 1, [1]), ([4], [5], [4, [5]])])
def test_append_to_what_was_set(start: Json, more: Json, end: Json) -> None:
    first = setting("First", "all", "@pipeline().parameters.start")
    then = activity("Then", "AppendVariable", "First", variableName="all", value="@pipeline().parameters.more")
    parameters = {"start": {"type": "Array"}, "more": {"type": "Any"}}
    document = pipeline("main", first, then, variables={"all": {"type": "Array"}}, parameters=parameters)
    assert run(document, parameters={"start": start, "more": more}).variables["all"] == end


@pytest.mark.parametrize(("given", "kept"), [([1, 5, 3, 9], [1, 3]), ([], []), ([4], []), ([-1, 3], [-1, 3])])
def test_filter(given: list[int], kept: list[int]) -> None:
    pick = activity("Pick", "Filter", items="@pipeline().parameters.given", condition="@less(item(), 4)")
    keep = setting("Keep", "kept", "@activity('Pick').output.value", "Pick")
    parameters, variables = {"given": {"type": "Array"}}, {"kept": {"type": "Array"}}
    finished = run(
        pipeline("main", pick, keep, parameters=parameters, variables=variables), parameters={"given": given}
    )
    assert finished.variables["kept"] == finished.activity("Pick").output["Value"] == kept


@pytest.mark.parametrize(("value", "hit"), [("one", "1"), ("two", "2"), ("One", "other"), ("three", "other")])
def test_switch_takes_the_case_or_the_default(value: str, hit: str) -> None:
    cases = [{"value": v, "activities": [setting(f"Set{n}", "hit", n)]} for v, n in (("one", "1"), ("two", "2"))]
    choose = activity("Choose", "Switch", on="@pipeline().parameters.value", cases=cases)
    choose["typeProperties"]["defaultActivities"] = [setting("SetOther", "hit", "other")]
    document = pipeline("main", choose, parameters={"value": {"type": "String"}}, variables=texts("hit"))
    assert run(document, parameters={"value": value}).variables["hit"] == hit


def calling(**parameters: Json) -> Json:
    reference = {"referenceName": "child", "type": "PipelineReference"}
    return activity("Call", "ExecutePipeline", pipeline=reference, waitOnCompletion=True, parameters=parameters)


def test_a_child_gets_evaluated_parameters() -> None:
    ask = activity(
        "Ask", "WebActivity", url="@pipeline().parameters.Url", method="POST", body="@pipeline().parameters.Body"
    )
    child = pipeline("child", ask, parameters=texts("Url", "Body"))
    main = pipeline("main", calling(Url="@concat('https://', pipeline().Pipeline)", Body='{"k": 1}'))
    finished = run(main, child, mocks={"Ask": None})
    assert finished.child("Call").activity("Ask").input == {"url": "https://main", "method": "POST", "body": '{"k": 1}'}


def test_a_child_that_is_not_in_the_folder_fails_the_call_unless_it_is_mocked() -> None:
    main = pipeline("main", calling(Size="@add(1, 2)"))
    run(main).assert_failed("There is no pipeline 'child'")
    finished = run(main, mocks={"Call": lambda call: {"got": call.input["Size"]}})
    assert finished.activity("Call").output["pipelineReturnValue"] == {"got": 3}


def test_a_listing_in_xml_becomes_one_copy_for_each_folder() -> None:
    listing = activity("List", "WebActivity", url="@{pipeline().globalParameters.account}/list", method="GET")
    items = "@xpath(xml(activity('List').output.Response), '/List/Dir/Name/text()')"
    copy = activity("Copy", "Copy", source={"folder": "@item()"}, sink={})
    each = activity("Each", "ForEach", "List", items=items, isSequential=True, activities=[copy])
    finished = run(
        pipeline("main", listing, each),
        global_parameters={"account": "https://a.example.org"},
        mocks={"List": {"Response": LISTING}, "Copy": succeeded(after="1m")},
    )
    assert finished.activity("List").input["url"] == "https://a.example.org/list"
    assert [each.activity("Copy").input["source"]["folder"] for each in finished.iterations("Each")] == ["a_1", "a_2"]
    assert finished.duration.total_seconds() == 120


def test_until_sees_what_its_body_did() -> None:
    poll = activity("Poll", "WebActivity", url="https://example.org/job", method="GET")
    pause = activity("Pause", "Wait", "Poll", waitTimeInSeconds=30)
    condition = "@equals(activity('Poll').output.state, 'done')"
    until = activity("Wait for job", "Until", expression=condition, activities=[poll, pause], timeout="0.01:00:00")
    finished = run(pipeline("main", until), mocks={"Poll": [{"state": "busy"}, {"state": "busy"}, {"state": "done"}]})
    assert len(finished.iterations("Wait for job")) == 3
    assert finished.duration.total_seconds() == 90
    endless = run(pipeline("main", until), mocks={"Poll": {"state": "busy"}})
    endless.assert_failed("timeout")


@pytest.mark.parametrize("value", ["@add(1, 0)", "@string('true')", "@json('{}')", "@json('[]')"])
def test_conditions_must_be_booleans(value: str) -> None:
    for kind in ("IfCondition", "Until"):
        run(pipeline("main", activity("C", kind, expression=value))).assert_failed("must give a Boolean")


def test_a_web_hook_waits_for_its_callback_for_ten_minutes() -> None:
    hook = activity("Hook", "WebHook", url="https://example.org/hook", method="POST")
    finished = run(pipeline("main", hook), mocks={"Hook": hangs()})
    assert finished.activity("Hook").error["errorCode"] == "ActivityTimeout"
    assert finished.duration.total_seconds() == 600


def test_the_clock_is_fixed() -> None:
    document = pipeline("main", setting("Set", "at", "@utcNow()"), variables=texts("at"))
    assert run(document, now="2024-11-24T12:11:49.753213Z").variables["at"] == "2024-11-24T12:11:49.7532130Z"


def test_single_expressions() -> None:
    assert evaluate("@concat('a', pipeline().parameters.p)", parameters={"p": 1}) == "a1"
    assert evaluate("@activity('A').output.rows[0]", activities={"A": {"output": {"rows": [7]}}}) == 7
    assert evaluate("@activity('A').Status", activities={"A": {"status": "Failed", "output": {}}}) == "Failed"
    assert evaluate({"b": "@item()", "c": "x@{item()}"}, item=2) == {"b": 2, "c": "x2"}
    assert evaluate("@concat(dataset().d, linkedService().l)", dataset={"d": "1"}, linked_service={"l": "2"}) == "12"
    assert evaluate("@formatDateTime(utcNow(), 'yyyy')", now="2031-05-01") == "2031"
    assert evaluate("@variables('v')", variables={"v": None}) is None
    assert evaluate("@guid()") == evaluate("@guid()")
    (node,) = evaluate("@xpath(xml('<a><b>1</b></a>'), '/a/b')")
    assert base64.b64decode(node["$content"]) == b"<b>1</b>"
    with pytest.raises(ExpressionError, match="does not exist"):
        evaluate("@nope()")


def test_a_template_and_a_folder_are_loaded_the_same_way(repository: Any) -> None:
    example = repository / "examples" / "airline"
    from_template = load_factory(example / "template.json", parameters={"partSizeInMB": 7})
    assert from_template.pipelines == load_factory(example / "factory").pipelines
    finished = from_template.run("SampleCopyPipeline", unmocked="succeed")
    assert finished.activity("SplitParquetInPython").input["command"].endswith(" 7")
    with pytest.raises(NotFoundError, match="no such file or folder"):
        load_factory(example / "nothing")
    with pytest.raises(NotFoundError, match="holds no factory 'other'"):
        load_factory(example / "template.json", name="other")
