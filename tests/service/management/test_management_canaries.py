"""No secret is shown: canaries in every place a secret can be, looked for in all that the server says and keeps."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from kyanite.runtime.worker import Worker
from kyanite.server.tokens import admin_key
from management_kit import FACTORY, Front

ALWAYS = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}
CANARIES = {
    name: f"canary/{name}+{number}=\"'&<ä>\\"
    for number, name in enumerate(
        ("account-key", "access-key", "sas", "password", "header", "default", "given", "encrypted", "global"), 1000
    )
}


def forms(value: str) -> set[str]:
    raw = value.encode()
    inner = json.dumps(value)[1:-1]
    utf8 = json.dumps(value, ensure_ascii=False)[1:-1]
    return {
        *(value, inner, utf8, quote(value, safe=""), quote(value), quote_plus(value)),
        *(base64.b64encode(raw).decode(), value.replace("'", "'\"'\"'")),
    }


def secure(value: str) -> dict[str, str]:
    return {"type": "SecureString", "value": value}


def documents() -> Iterator[tuple[str, dict[str, object]]]:
    key = base64.b64encode(CANARIES["account-key"].encode()).decode()
    text = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={key}"
    yield "linkedservices/Plain", {"type": "AzureBlobStorage", "typeProperties": {"connectionString": text}}
    yield "linkedservices/Store", {"type": "AzureBlobStorage", "typeProperties": {"connectionString": secure(text)}}
    sas = f"https://acct.blob.core.windows.net/?sv=1&sig={quote(CANARIES['sas'], safe='')}"
    yield "linkedservices/Sas", {"type": "AzureBlobStorage", "typeProperties": {"sasUri": secure(sas)}}
    batch = {"accountName": "b", "batchUri": "u", "poolName": "p", "accessKey": secure(CANARIES["access-key"])}
    batch["linkedServiceName"] = {"referenceName": "Store", "type": "LinkedServiceReference"}
    yield "linkedservices/Batch", {"type": "AzureBatch", "typeProperties": batch}
    sftp = {"host": "h", "userName": "u", "password": secure(CANARIES["password"])}
    yield "linkedservices/Sftp", {"type": "Sftp", "typeProperties": sftp}
    sql = {"connectionString": "x", "encryptedCredential": CANARIES["encrypted"]}
    yield "linkedservices/Sql", {"type": "SqlServer", "typeProperties": sql}
    web = {"method": "GET", "url": "http://127.0.0.1:9/", "headers": {"X": secure(CANARIES["header"])}}
    copy = {
        "variableName": "v",
        "value": "@concat('<', pipeline().parameters.given, pipeline().parameters.default, '>')",
    }
    again = {"variableName": "w", "value": "@base64(pipeline().parameters.given)"}
    yield (
        "pipelines/P",
        {
            "activities": [
                {"name": "set", "type": "SetVariable", "typeProperties": copy},
                {"name": "encode", "type": "SetVariable", "typeProperties": again},
                {
                    "name": "call",
                    "type": "WebActivity",
                    "typeProperties": web,
                    "state": "Inactive",
                    "dependsOn": [{"activity": "set", "dependencyConditions": ["Succeeded"]}],
                },
                {
                    "name": "fail",
                    "type": "Fail",
                    "typeProperties": {"message": "@variables('v')", "errorCode": "1"},
                    "dependsOn": [{"activity": "encode", "dependencyConditions": ["Succeeded"]}],
                },
            ],
            "variables": {"v": {"type": "String"}, "w": {"type": "String"}},
            "parameters": {
                "given": {"type": "SecureString"},
                "default": {"type": "SecureString", "defaultValue": CANARIES["default"]},
            },
        },
    )


def test_no_canary_is_seen_anywhere(airline: Front) -> None:
    said: list[bytes] = []

    def call(method: str, path: str, body: object = None, **more: object) -> object:
        answer = airline.call(method, f"{FACTORY}{path}", body, **more)  # type: ignore[arg-type]
        said.append(answer.body + repr(sorted(answer.headers.items())).encode())
        assert answer.status < 500, answer.body
        return answer.json if answer.body else None

    paths = []
    for path, properties in documents():
        call("PUT", f"/{path}", {"properties": properties})
        paths.append(f"/{path}")
    wrong = {
        "properties": {
            "type": "SqlServer",
            "typeProperties": {"password": secure(CANARIES["password"])},
            "parameters": 5,
        }
    }
    call("PUT", "/linkedservices/Wrong", wrong)
    call("PUT", f"/pipelines/{quote(CANARIES['password'], safe='')}", {"properties": {"activities": []}})
    made = [call("POST", "/pipelines/P/createRun", {"given": CANARIES["given"]}) for _ in range(2)]
    assert all(isinstance(each, dict) and "runId" in each for each in made), made
    runs = [str(each["runId"]) for each in made if isinstance(each, dict)]
    call("POST", f"/pipelineruns/{runs[1]}/cancel")
    for run in runs:
        Worker(airline.workspace).run(run)
        call("GET", f"/pipelineruns/{run}")
        call("POST", f"/pipelineruns/{run}/queryActivityruns", ALWAYS)
    call("POST", "/pipelines/P/createRun", {"given": CANARIES["given"], "unknown": CANARIES["given"]})
    call("POST", "/queryPipelineRuns", ALWAYS)
    call("POST", "/queryPipelineRuns", {**ALWAYS, "filters": [{"operand": CANARIES["given"]}]})
    for path in paths:
        call("GET", path)
        call("GET", path.rpartition("/")[0])
    call("GET", "/linkedservices/Store", token="not-a-token-of-anybody")
    home = airline.workspace.home
    airline.workspace.database.query("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = {
        path: path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.startswith("secrets.")
    }
    said_all = b"\n".join(said)
    wanted = {name: forms(value) for name, value in CANARIES.items()}
    wanted["account-key"] = forms(base64.b64encode(CANARIES["account-key"].encode()).decode())
    wanted["token"] = {admin_key(airline.workspace.vault)}
    seen = []
    for name, texts in wanted.items():
        for text in texts:
            seen += [f"{name} was said"] if text.encode() in said_all else []
            seen += [f"{name} is in {path.relative_to(home)}" for path, data in kept.items() if text.encode() in data]
    assert seen == []
    assert any(path.name == "kyanite.db" for path in kept)
    assert b"<******>" in said_all or b"<***" in said_all
