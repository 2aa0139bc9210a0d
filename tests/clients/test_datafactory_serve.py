"""The page on the clients as it stands: its program against `kyanite serve`, and a git folder that is served."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FACTORIES = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DataFactory/factories"


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, str]]:
    """`kyanite serve` in a folder; its http and https address."""
    program = [sys.executable, "-m", "kyanite"]
    subprocess.run([*program, "init"], cwd=folder, check=True, capture_output=True)
    command = [*program, "serve", "--port", "0", "--https-port", "0", "--for", "60", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        found: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.search(r"(https?) +(https?://\S+)", line):
                found[match[1]] = match[2].rstrip("/")
            if len(found) == 2:
                break
        yield found["http"], found["https"]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_program_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "sdk.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    with served(tmp_path) as (_, https):
        port = https.rpartition(":")[2]
        program = block[1].replace("https://localhost:10011", f"https://localhost:{port}")
        assert program != block[1]
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() in ("Queued", "InProgress", "Succeeded")


def test_a_git_folder_is_served_and_written(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "factory").mkdir()
    (folder / "factory" / "mine.json").write_text('{"name": "mine", "properties": {}}', "utf-8")
    (folder / "pipeline" / "P.json").write_text('{\n\t"name": "P",\n\t"properties": {"activities": []}\n}', "utf-8")
    with served(tmp_path, "--factory", str(folder)) as (http, _):
        token = (tmp_path / ".kyanite" / "token").read_text("utf-8").strip()

        def call(method: str, path: str, body: object = None) -> dict[str, object]:
            request = urllib.request.Request(
                f"{http}{FACTORIES}/mine{path}?api-version=2018-06-01",
                data=json.dumps(body).encode() if body is not None else None,
                headers={"Authorization": f"Bearer {token}"},
                method=method,
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, object] = json.loads(answer.read())
                return found

        assert call("GET", "/pipelines/P")["name"] == "P"
        call("PUT", "/pipelines/P", {"properties": {"activities": [], "description": "by a client"}})
        text = (folder / "pipeline" / "P.json").read_text("utf-8")
        assert "\n\t" in text
        assert '"description": "by a client"' in text
        (folder / "pipeline" / "Q.json").write_text('{"name": "Q", "properties": {"activities": []}}', "utf-8")
        for _ in range(100):
            names = [each["name"] for each in call("GET", "/pipelines")["value"]]  # type: ignore[attr-defined,index]
            if "Q" in names:
                break
        assert names == ["P", "Q"]
    assert (tmp_path / ".kyanite" / "factories" / "mine").readlink() == folder.resolve()
