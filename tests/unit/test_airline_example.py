"""The airline example: one factory in two forms, data as described, a program that fails in one clear line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow.parquet as parquet
import pytest

import kyanite
from kyanite.definitions.arm import Environment, evaluate_template, factories_of
from kyanite.definitions.load import load_folder

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "airline"
KEY = "bm90IGEgcmVhbCBrZXkgYnV0IGxvbmcgZW5vdWdo"


def load(path: str) -> Any:
    return json.loads((EXAMPLE / path).read_text("utf-8"))


def templated(kind: str) -> dict[str, Any]:
    resources = [
        r for r in load("template.json")["resources"] if r["type"] == f"Microsoft.DataFactory/factories/{kind}"
    ]
    return {resource["name"].rpartition("/")[2].rstrip("')]"): resource["properties"] for resource in resources}


def in_folder(kind: str) -> dict[str, Any]:
    documents = [json.loads(path.read_text("utf-8")) for path in (EXAMPLE / "factory" / kind).glob("*.json")]
    return {document["name"]: document["properties"] for document in documents}


def test_template_and_folder_hold_the_same_datasets() -> None:
    assert set(in_folder("dataset")) == {"SourceParquet", "TargetParquet"}
    assert templated("datasets") == in_folder("dataset")


def test_template_and_folder_hold_the_same_pipeline_but_for_names_and_the_key() -> None:
    here, there = templated("pipelines")["SampleCopyPipeline"], in_folder("pipeline")["SampleCopyPipeline"]
    defaults = {name: variable.pop("defaultValue") for name, variable in here["variables"].items()}
    others = {name: variable.pop("defaultValue") for name, variable in there["variables"].items()}
    assert here == there
    assert {name for name in defaults if defaults[name] != others[name]} == {
        "fileChunkSize",
        "storageAccountName",
        "storageKey",
    }
    assert others["storageKey"] == "-"


def test_template_and_folder_hold_the_same_linked_services_but_for_names_and_keys() -> None:
    here, there = templated("linkedServices"), in_folder("linkedService")
    assert set(here) == set(there) == {"StorageLinkedService", "BatchLinkedService"}
    for name, service in here.items():
        assert service["type"] == there[name]["type"]
        assert set(service["typeProperties"]) - set(there[name]["typeProperties"]) <= {"accessKey"}


def keys_of(kind: str, _name: str, _version: str) -> Any:
    return {"keys": [{"keyName": "key1", "value": KEY}]} if "Storage" in kind else {"primary": KEY}


def test_the_template_deploys_the_factory_of_the_folder() -> None:
    evaluated = evaluate_template(load("template.json"), {}, Environment(list_keys=keys_of))
    (deployed,) = factories_of(evaluated).values()
    root = EXAMPLE / "factory"
    folder = load_folder({path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*.json")})
    assert folder.problems == ()
    assert deployed.name == folder.name == "airlinefactory"
    here, there = deployed.pipelines["SampleCopyPipeline"], folder.pipelines["SampleCopyPipeline"]
    assert here.activities == there.activities
    values = {name: (variable.default, there.variables[name].default) for name, variable in here.variables.items()}
    assert {name: pair for name, pair in values.items() if pair[0] != pair[1]} == {"storageKey": (KEY, "-")}


def test_no_secret_lies_in_the_folder() -> None:
    text = "".join(path.read_text("utf-8") for path in (EXAMPLE / "factory").rglob("*.json"))
    assert not any(word in text for word in ("AccountKey", "encryptedCredential", "SecureString", "sig="))


def test_the_data_is_as_its_description_says() -> None:
    path = EXAMPLE / "data" / "flights.parquet"
    with parquet.ParquetFile(path) as flights:
        metadata = flights.metadata
        rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        months = flights.read(columns=["month"]).column("month").to_pylist()
    text = (EXAMPLE / "README.md").read_text("utf-8")
    assert (sum(rows), len(rows), metadata.num_columns) == (336_776, 12, 19)
    assert months == sorted(months)
    for figure in (sum(rows), min(rows), max(rows), path.stat().st_size):
        assert f"{figure:,}" in text
    assert path.stat().st_size < 8_000_000


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("splitparquet", EXAMPLE / "splitparquet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Splitter:
    """Stands in for `kyanite.split`: remembers how it was called and gives two parts, or raises."""

    def __init__(self, rows_out: int = 30, error: Exception | None = None) -> None:
        self.rows_out, self.error = rows_out, error
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, inputs: str, output: str, *, max_size: int, credential: str | None, **options: Any) -> Any:
        self.calls.append((inputs, output, max_size, credential))
        if self.error:
            raise self.error
        parts = tuple(
            SimpleNamespace(name=f"part{n}.parquet", rows=15, bytes=1000 + n, first_row=15 * n) for n in (0, 1)
        )
        return SimpleNamespace(parts=parts, rows_in=30, rows_out=self.rows_out, bytes_in=1990, bytes_out=2001)


def run(program: ModuleType, monkeypatch: pytest.MonkeyPatch, splitter: Splitter, *arguments: str) -> int:
    monkeypatch.setitem(vars(kyanite), "split", splitter)
    code: int = program.main(list(arguments))
    return code


GOOD = ("filestorage", "/target/", "/source/NewFile.parq", "4")


def test_it_splits_what_the_tutorial_names(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    splitter = Splitter()
    assert run(program, monkeypatch, splitter, "airline", KEY, *GOOD) == 0
    base = "https://airline.blob.core.windows.net/filestorage"
    assert splitter.calls == [(f"{base}/source/NewFile.parq", f"{base}/target", 4 * 1_048_576, KEY)]
    output = capsys.readouterr()
    assert "part0.parquet" in output.out
    assert "rows in 30, rows out 30, 2 parts" in output.out
    assert KEY not in output.out + output.err


@pytest.mark.parametrize("key", ["-", ""])
def test_without_a_key_the_right_of_the_workspace_is_used(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    splitter = Splitter()
    assert run(program, monkeypatch, splitter, "airline", key, *GOOD) == 0
    assert splitter.calls[0][3] is None


@pytest.mark.parametrize("megabytes", ["0", "-1", "four", "nan", "inf", "0.0000001"])
def test_a_size_that_is_none_is_refused(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], megabytes: str
) -> None:
    splitter = Splitter()
    assert run(program, monkeypatch, splitter, "airline", KEY, *GOOD[:3], megabytes) == 1
    assert splitter.calls == []
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert megabytes in lines[0]


def test_a_missing_argument_is_named_by_the_usage_and_shows_no_key(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program, monkeypatch, Splitter(), "airline", KEY, "filestorage") == 1
    error = capsys.readouterr().err
    assert error.startswith("3 arguments given, 6 needed; usage:")
    assert KEY not in error


def test_a_failure_is_one_line_without_the_key(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kyanite.KyaniteError(f"no blob\nfor {KEY}", cure="Upload it.")
    assert run(program, monkeypatch, Splitter(error=error), "airline", KEY, *GOOD) == 1
    assert capsys.readouterr().err == "splitparquet: no blob for *** Upload it.\n"


def test_lost_rows_are_a_failure(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(program, monkeypatch, Splitter(rows_out=23), "airline", KEY, *GOOD) == 1
    assert "7 rows are missing" in capsys.readouterr().err
