"""init, deploy, validate, storage, split, eval, version on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from git_factory import ACCOUNT, GitFactory, Run, pool_template, set_variable, wait


def test_init_makes_a_private_workspace_and_is_repeatable(kyanite: Run, home: Path) -> None:
    first = kyanite("init", "--account", "raw")
    assert first.code == 0
    assert "created" in first.out
    assert home.stat().st_mode & 0o777 == 0o700
    again = kyanite("init", "--account", "raw", "--json")
    assert json.loads(again.out) == {"home": str(home), "created": False, "accountsCreated": []}


def test_a_bad_account_name_is_refused_with_the_rule(kyanite: Run) -> None:
    result = kyanite("init", "--account", "Not_Allowed")
    assert result.code == 1
    assert "lower-case letters and digits" in result.err


@pytest.mark.parametrize("line", [["runs", "list"], ["storage", "ls"], ["run", "X"], ["runs", "cancel", "latest"]])
def test_without_a_workspace_the_cure_is_init(kyanite: Run, line: list[str], home: Path) -> None:
    result = kyanite(*line)
    assert result.code == 1
    assert "kyanite init" in result.err
    assert not home.exists()


def test_files_go_in_and_come_out_the_same(kyanite: Run, tmp_path: Path) -> None:
    kyanite("init", "--account", ACCOUNT)
    folder = tmp_path / "up"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a" * 100_000)
    (folder / "sub" / "b.txt").write_bytes(b"")
    assert kyanite("storage", "put", folder, f"{ACCOUNT}/data/").code == 0
    assert kyanite("storage", "put", folder / "a.txt", f"{ACCOUNT}/data/x/c.txt").code == 0
    listing = json.loads(kyanite("storage", "ls", "-r", f"{ACCOUNT}/data", "--json").out)
    assert [(row["name"], row["size"]) for row in listing] == [
        (f"{ACCOUNT}/data/up/a.txt", 100_000),
        (f"{ACCOUNT}/data/up/sub/b.txt", 0),
        (f"{ACCOUNT}/data/x/c.txt", 100_000),
    ]
    assert kyanite("storage", "get", "-r", f"https://{ACCOUNT}.blob.core.windows.net/data", tmp_path / "down").code == 0
    assert (tmp_path / "down" / "up" / "a.txt").read_bytes() == b"a" * 100_000
    assert (tmp_path / "down" / "up" / "sub" / "b.txt").read_bytes() == b""
    assert kyanite("storage", "get", f"{ACCOUNT}/data/x/c.txt", tmp_path / "c").code == 0
    assert (tmp_path / "c").stat().st_size == 100_000
    assert not list(tmp_path.glob(".*.part"))


def test_listing_goes_from_accounts_to_files(kyanite: Run, parquet_file: Path) -> None:
    kyanite("init", "--account", ACCOUNT)
    kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/in/")
    assert f"{ACCOUNT}/" in kyanite("storage", "ls").out
    assert f"{ACCOUNT}/data/" in kyanite("storage", "ls", ACCOUNT).out
    assert f"{ACCOUNT}/data/in/" in kyanite("storage", "ls", f"{ACCOUNT}/data").out
    shown = kyanite("storage", "ls", f"{ACCOUNT}/data/in").out
    assert f"{ACCOUNT}/data/in/numbers.parquet" in shown
    assert "1 files" not in shown
    assert "1 file, " in shown


def test_deleting_a_folder_needs_r(kyanite: Run, parquet_file: Path) -> None:
    kyanite("init", "--account", ACCOUNT)
    kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/in/")
    refused = kyanite("storage", "rm", f"{ACCOUNT}/data/in")
    assert refused.code == 1
    assert "-r" in refused.err
    assert kyanite("storage", "rm", "-r", f"{ACCOUNT}/data/in").code == 0
    assert kyanite("storage", "rm", "-r", f"{ACCOUNT}/data").code == 0
    assert kyanite("storage", "rm", ACCOUNT).code == 2
    assert json.loads(kyanite("storage", "ls", ACCOUNT, "--json").out) == []


@pytest.mark.parametrize(
    "line",
    [
        ["ls", "nobody"],
        ["ls", f"{ACCOUNT}/none"],
        ["ls", f"{ACCOUNT}/data/none"],
        ["get", f"{ACCOUNT}/data/none"],
        ["get", f"{ACCOUNT}/none/x"],
        ["rm", f"{ACCOUNT}/data/none"],
        ["put", "no-such-file", f"{ACCOUNT}/data/"],
        ["put", __file__, f"{ACCOUNT}/BAD_NAME/"],
        ["put", __file__, f"{ACCOUNT}/data/../../x"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_named(kyanite: Run, parquet_file: Path, line: list[str]) -> None:
    kyanite("init", "--account", ACCOUNT)
    kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/")
    result = kyanite("storage", *line)
    assert result.code == 1
    assert result.err.startswith("error: ")


def test_split_shows_parts_and_proof(kyanite: Run, parquet_file: Path, tmp_path: Path) -> None:
    result = kyanite("split", parquet_file, tmp_path / "parts", "--max-size", "3000")
    assert result.code == 0
    assert "1,000 rows in, 1,000 rows out" in result.out
    document = json.loads(kyanite("split", parquet_file, tmp_path / "more", "--max-size", "3000", "--json").out)
    assert sum(part["rows"] for part in document["parts"]) == document["rowsIn"] == 1000


@pytest.mark.parametrize("size", ["x", "0", "-5", "12QB"])
def test_split_refuses_sizes_that_are_none(kyanite: Run, parquet_file: Path, tmp_path: Path, size: str) -> None:
    result = kyanite("split", parquet_file, tmp_path / "parts", "--max-size", size)
    assert result.code in (1, 2)
    assert result.err.startswith(("error: ", "Usage: "))


def test_split_names_a_corrupt_file(kyanite: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 this is none PAR1")
    result = kyanite("split", tmp_path / "bad.parquet", tmp_path / "parts", "--max-size", "1MB")
    assert result.code == 1
    assert "bad.parquet" in result.err


def test_validate_finds_everything_in_one_pass(kyanite: Run, factory: GitFactory) -> None:
    factory.storage()
    factory.copy_pipeline()
    (factory.folder / "dataset" / "Target.json").unlink()
    (factory.folder / "pipeline" / "Broken.json").write_text('{\n  "name": "Broken",\n  "properties": {,}\n}')
    factory.pipeline("Cycle", wait("A", 1, "B"), wait("B", 1, "A"))
    factory.pipeline("Odd", {"name": "X", "type": "Teleport", "typeProperties": {}})
    factory.pipeline(
        "Words", set_variable("S", "v", {"value": "@concta('a')", "type": "Expression"}),
        variables={"v": {"type": "String"}},
    )  # fmt: skip
    result = kyanite("validate", factory.folder)
    assert result.code == 1
    for text in ("Target", "Broken.json:3:", "Teleport", "concta"):
        assert text in result.out
    assert "cycle" in result.out.casefold() or "circle" in result.out.casefold()
    problems = json.loads(kyanite("validate", factory.folder, "--json").out)
    assert {problem["severity"] for problem in problems} >= {"error"}
    assert all(problem["file"] and problem["message"] and problem["cure"] for problem in problems)


def test_validate_of_a_good_folder_and_strict(kyanite: Run, factory: GitFactory) -> None:
    factory.pipeline("Good", wait("A", 1))
    result = kyanite("validate", factory.folder)
    assert (result.code, result.out) == (0, "0 errors, 0 warnings\n")
    factory.write("pipeline", "Renamed", {"activities": []}).rename(factory.folder / "pipeline" / "Other.json")
    assert kyanite("validate", factory.folder).code == 0
    assert kyanite("validate", factory.folder, "--strict").code == 1


def test_secrets_too_short_to_be_masked_are_named_and_not_shown(kyanite: Run, factory: GitFactory, home: Path) -> None:
    secure = {"password": {"type": "SecureString"}, "other": {"type": "SecureString", "defaultValue": "qx7w"}}
    long = {"type": "SecureString", "defaultValue": "long enough"}
    factory.pipeline("P", wait("A", 1), parameters=secure | {"long": long})
    factory.storage(key="zq0")
    for line in (("validate", factory.folder), ("deploy", factory.folder, "--factory-name", "f")):
        result = kyanite(*line)
        told = result.out + result.err
        assert result.code == 0
        assert told.count("fewer than 6 characters") == 2, told
        assert "properties.parameters.other" in told and "typeProperties.connectionString" in told
        assert "qx7w" not in told and "zq0" not in told
    assert "long enough" not in (home / "factories" / "f" / "pipeline" / "P.json").read_text()
    result = kyanite("run", "P", "-p", "password=zq1")
    assert result.code == 0 and "properties.parameters.password" in result.err
    assert "zq1" not in result.out + result.err


def test_validate_of_the_example_in_all_its_shapes(kyanite: Run, repository: Path) -> None:
    example = repository / "examples" / "airline"
    assert kyanite("validate", example / "template.json").code == 0
    assert kyanite("validate", example / "factory").code == 0
    assert kyanite("deploy", example / "factory", "--factory-name", "airline").code == 0
    assert kyanite("validate", "--factory", "airline").code == 0
    assert kyanite("validate", "--factory", "nope").code == 1
    assert kyanite("validate", example / "none").code == 1


def test_deploy_makes_what_the_template_names(kyanite: Run, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(json.dumps(pool_template(nodes=0)), encoding="utf-8")
    result = kyanite("deploy", template)
    assert result.code == 0
    for text in ("Microsoft.Storage/storageAccounts", ACCOUNT, "batch1/pool"):
        assert text in result.out
    assert json.loads(kyanite("storage", "ls", "--json").out) == [{"name": f"{ACCOUNT}/"}]
    document = json.loads(kyanite("deploy", template, "-p", "nodes=0", "--json").out)
    assert len(document["resources"]) == 3


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("{", [], "template.json:1:"),
        ("[]", [], "object"),
        (json.dumps(pool_template(0)), ["-p", "nodes=many"], "nodes"),
        (json.dumps(pool_template(0)), ["-p", "nope=1"], "nope"),
        (json.dumps(pool_template(0)).replace('"local"', '"[concta(1)]"'), [], "concta"),
        (json.dumps(pool_template(0)).replace("storageAccounts", "cacheAccounts"), [], "cacheAccounts"),
    ],
    ids=["broken", "list", "wrong-type", "unknown-parameter", "unknown-function", "unknown-type"],
)
def test_a_template_that_cannot_be_deployed_is_explained(
    kyanite: Run, tmp_path: Path, text: str, options: list[str], expected: str
) -> None:
    (tmp_path / "template.json").write_text(text, encoding="utf-8")
    result = kyanite("deploy", tmp_path / "template.json", *options)
    assert result.code == 1
    assert expected in result.err


def test_deploy_of_what_is_not_there(kyanite: Run, tmp_path: Path) -> None:
    assert kyanite("deploy", tmp_path / "none.json").code == 1
    assert kyanite("deploy", tmp_path, "-p", "a=1").code == 2


def test_a_start_task_that_fails_fails_the_deployment(kyanite: Run, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(json.dumps(pool_template(1, "/bin/sh -c 'echo no such wheel >&2; exit 3'")), encoding="utf-8")
    result = kyanite("deploy", template)
    assert result.code == 1
    assert "start task" in result.err.casefold()
    assert "no such wheel" in result.err


def test_eval_prints_values_and_points_at_errors(kyanite: Run) -> None:
    assert kyanite("eval", "@concat('a', string(add(1, 2)))").out == "a3\n"
    assert json.loads(kyanite("eval", "@createArray(1, null)", "--json").out) == {"value": [1, None], "type": "Array"}
    assert kyanite("eval", "@pipeline().parameters.x", "-p", "x=[1]").out == "[\n  1\n]\n"
    assert kyanite("eval", "@variables('v')", "--variables", '{"v": "w"}').out == "w\n"
    wrong = kyanite("eval", "@add(1, concta(2))")
    assert wrong.code == 1
    lines = wrong.err.splitlines()
    assert lines[2].index("^") == lines[1].index("concta")
    assert kyanite("eval", "@a", "--variables", "[]").code == 1
    assert kyanite("eval", "@a", "--variables", "{").code == 1


def test_version_names_the_schema(kyanite: Run) -> None:
    found = json.loads(kyanite("version", "--json").out)
    assert found["workspace schema"].isdigit()
    assert set(found) >= {"kyanite", "python", "pyarrow"}
