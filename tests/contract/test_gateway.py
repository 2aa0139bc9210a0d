"""The gateway: one port for a workspace, whoever answers it, for as long as anybody needs it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.gateway import Gateway, ensure_gateway, pool_reach, task_environment
from kyanite.server.listener import bind
from kyanite.server.principals import program
from kyanite.server.trust import NO_PROXY, trust_files


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(tmp_path / "home", create=True) as made:
        made.accounts.create("raw")
        yield made


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.read() == b"ok")
    except OSError:
        return False


def pool(**metadata: str) -> SimpleNamespace:
    items = [{"name": name, "value": value} for name, value in metadata.items()]
    return SimpleNamespace(spec=SimpleNamespace(document={"metadata": items}))


def test_the_first_listens_and_the_next_takes_its_place_on_the_same_port(workspace: Workspace) -> None:
    first = ensure_gateway(workspace)
    with open_workspace(workspace.home) as again:
        second = ensure_gateway(again)
        assert (first.listens, second.listens) == (True, False)
        assert first.port == second.port
        assert first.environment(network=False) == second.environment(network=False)
        first.close()
        end = time.monotonic() + 10
        while not second.listens and time.monotonic() < end:
            time.sleep(0.01)
        assert answers(second.port)
        second.close()
    assert not answers(second.port)


def test_the_port_is_remembered(workspace: Workspace) -> None:
    first = ensure_gateway(workspace)
    first.close()
    second = ensure_gateway(workspace)
    second.close()
    assert first.port == second.port == json.loads((workspace.home / "gateway.json").read_text())["proxy"]


def test_another_port_when_a_stranger_has_that_one(workspace: Workspace) -> None:
    first = ensure_gateway(workspace)
    first.close()
    with bind(first.port):
        second = ensure_gateway(workspace)
        second.close()
    assert second.port != first.port


@pytest.mark.parametrize("text", ["", "{", "[]", '{"proxy": "x"}', '{"proxy": 99999}'])
def test_a_damaged_note_of_the_port_is_made_anew(workspace: Workspace, text: str) -> None:
    (workspace.home / "gateway.json").write_text(text)
    gateway = ensure_gateway(workspace)
    assert answers(gateway.port)
    gateway.close()


@pytest.mark.parametrize(
    ("said", "reach"), [({}, "open"), ({"kyanite.gateway": "on"}, "open"), ({"kyanite.gateway": "Closed"}, "closed"),
                        ({"kyanite.gateway": "off"}, None), ({"kyanite.gateway": "nonsense"}, "open")]
)  # fmt: skip
def test_a_pools_metadata_says_how_far_its_tasks_reach(said: dict[str, str], reach: str | None) -> None:
    assert pool_reach(pool(**said)) == reach  # type: ignore[arg-type]


@pytest.fixture
def gateway(workspace: Workspace) -> Iterator[Gateway]:
    made = ensure_gateway(workspace)
    yield made
    made.close()


def test_tasks_and_commands_are_told_different_secrets(workspace: Workspace, gateway: Gateway) -> None:
    task = task_environment(gateway, pool())  # type: ignore[arg-type]
    command = gateway.environment(network=False)
    assert task_environment(gateway, pool(**{"kyanite.gateway": "off"})) == {}  # type: ignore[arg-type]
    for name in ("HTTPS_PROXY", "IDENTITY_HEADER"):
        assert task[name] != command[name]
        assert workspace.vault.mask(task[name]) != task[name]
    of_task, of_command = (program(workspace.vault, told["IDENTITY_HEADER"]) for told in (task, command))
    assert of_task is not None and of_task.roles == {"operator"}
    assert of_command is not None and of_command.roles == {"admin"}


def test_what_a_program_is_told(gateway: Gateway, workspace: Workspace) -> None:
    told = gateway.environment(network=False)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        assert told[name] == told[name.lower()]
    assert told["NO_PROXY"] == NO_PROXY
    files = {told[name] for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
    assert len(files) == 1
    assert Path(files.pop()).read_text().strip() == (workspace.home / "tls" / "ca.pem").read_text().strip()
    assert told["JAVA_TOOL_OPTIONS"].count(str(workspace.home)) == 1


def test_a_program_that_may_reach_the_network_also_trusts_whom_this_machine_trusts(
    gateway: Gateway, workspace: Workspace, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes((workspace.home / "tls" / "ca.pem").read_bytes() + b"\n# a second\n")
    told = gateway.environment(network=True, host={"SSL_CERT_FILE": str(roots)})
    assert "# a second" in Path(told["SSL_CERT_FILE"]).read_text()
    nested = trust_files(workspace.home / "tls", workspace.home / "tls" / "ca.pem", network=True, host=told)
    assert nested.bundle.read_text().count("BEGIN CERTIFICATE") < 500  # not added to itself again


def test_trust_is_renewed_with_the_authority(workspace: Workspace, gateway: Gateway) -> None:
    from datetime import timedelta

    from kyanite.runtime.clock import utc_now
    from kyanite.server.certificates import CertificateAuthority

    before = Path(gateway.environment(network=False)["SSL_CERT_FILE"]).read_bytes()
    assert CertificateAuthority(workspace.home / "tls").ensure(utc_now() + timedelta(days=3640))
    assert Path(gateway.environment(network=False)["SSL_CERT_FILE"]).read_bytes() != before
