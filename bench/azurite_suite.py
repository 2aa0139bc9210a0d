"""Azurite's own blob tests against our endpoint, and why each one that fails does.

    python bench/azurite_suite.py AZURITE_FOLDER [--only apis/blob,sas]

AZURITE_FOLDER is a clone of github.com/Azure/Azurite with its dependencies (`npm ci`, or at least mocha, ts-node,
typescript and what its sources import). The suite's "live" mode is used: it takes a connection string and starts no
server of its own. One line of it is changed, in a copy: where tests ask the server object for its address, it is ours.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import storage

FILES = (
    "apis/container",
    "apis/blob",
    "apis/blockblob",
    "apis/appendblob",
    "apis/blobbatch",
    "apis/service",
    "apis/pageblob",
    "conditions",
    "pagewithdelimiter",
    "specialnaming",
    "sas",
    "blockblob.highlevel",
    "authentication",
)
# the second key and the second account that its tests of signatures know; the key in the base64 that Node reads it as
ACCOUNTS = f"{storage.ACCOUNT}:{storage.KEY}:testing/key=;devstoreaccount2:"
ACCOUNTS += "MTAwCjE2NQoyMjUKMTAzCjIxOAoyNDEKNDAKNzgKMTkxCjE3OAoyMTQKMTY5CjIxMwo2MQoyNTIKMTQxCg=="
# why a test fails -> what its title or its error says; the first that fits counts
REASONS: dict[str, str] = {
    "page blobs are refused by name": r"page ?blob|clearPages|uploadPages|GetPageRanges|updateSequenceNumber",
    "snapshots and versions are refused by name": r"snapshot",
    "public access is refused": r"public",
    "CORS, logging, metrics cannot be switched on": r"CORS|SetServiceProperties|cannot be switched on",
    "lease IDs of the suite are no GUIDs, which the service refuses too": r"A lease ID is a GUID",
    "a request with a SAS needs one for the source of its copy too, as in the service": r"source.* may not be read",
    "another kind of redundancy is told (Standard_LRS)": r"RAGRS",
    "there is no secondary location": r"service stats|secondary",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("azurite", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="azurite-suite-"))
    os.environ["KYANITE_BENCH_FLAT"] = "1"
    os.environ["KYANITE_BENCH_ACCOUNTS"] = ACCOUNTS
    try:
        for name in ("src", "tests", "tsconfig.json", "package.json"):
            source = options.azurite / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        (folder / "node_modules").symlink_to(options.azurite.resolve() / "node_modules")
        with storage.running("kyanite") as (url, _):
            address = re.search(r"//(.+):(\d+)/", url)
            stub = folder / "tests" / "BlobTestServerFactory.ts"
            there = f'{{ host: "{address[1]}", port: {address[2]} }}'
            stub.write_text(re.sub(r'\{ host: "[^"]*", port: \d+ \}', there, stub.read_text("utf-8")), encoding="utf-8")
            found = {name: run(folder, name, url) for name in options.only.split(",") if name} or {
                name: run(folder, name, url) for name in FILES
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(found)


def run(folder: Path, name: str, url: str) -> dict[str, list[tuple[str, str]]]:
    """One file of tests: titles that passed, titles and errors that failed."""
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "TS_NODE_TRANSPILE_ONLY": "1",
        "AZURITE_LIVE_TEST_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol=http;AccountName={storage.ACCOUNT};AccountKey={storage.KEY};BlobEndpoint={url}"
        ),
    }
    command = ["npx", "mocha", "--require", "ts-node/register", "--timeout", "120000", "--exit", "--reporter", "json"]
    command += ["--reporter-option", f"output={out}", f"tests/blob/{name}.test.ts"]
    subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1800
    )
    document = json.loads(out.read_text("utf-8"))
    failed = [(each["title"], each["err"].get("message", "")) for each in document["failures"]]
    return {"passed": [(each["title"], "") for each in document["passes"]], "failed": failed}


def reason(title: str, error: str) -> str:
    """Why a test fails, in our words; "ours" when none is known."""
    for words, pattern in REASONS.items():
        if re.search(pattern, f"{title} {error}", re.IGNORECASE):
            return words
    return f"ours: {title.partition(' @')[0]}"


def report(found: dict[str, dict[str, list[tuple[str, str]]]]) -> None:
    """Tables in markdown."""
    print("| tests of | pass | fail |\n| --- | ---: | ---: |")
    for name, each in found.items():
        print(f"| {name} | {len(each['passed'])} | {len(each['failed'])} |")
    passed = sum(len(each["passed"]) for each in found.values())
    reasons = Counter(
        reason(f"{name}: {title}", error) for name, each in found.items() for title, error in each["failed"]
    )
    print(f"| **all** | **{passed}** | **{sum(reasons.values())}** |\n\n| why | tests |\n| --- | ---: |")
    for words, count in reasons.most_common():
        print(f"| {words} | {count} |")


if __name__ == "__main__":
    main()
