"""The files API on the wire: ranges, headers, lists, deletion - and hundreds of paths that must not lead outside."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from batch_raw_client import RawClient
from batch_server import ACCOUNT, BatchServer, batch_server, wait_until

INSIDE = b"inside of the task\n"
TASK = "/jobs/files/tasks/t1/files"
COMMAND = """/bin/sh -c '
printf "inside of the task\\n" > a.txt; mkdir -p "out dir/deep"; printf "0123456789" > "out dir/b.txt"; touch empty
ln -s /etc/passwd passwd; ln -s / root; ln -s ../../.. up; ln -s a.txt link; mkfifo pipe
printf deep > "out dir/deep/c+d&e%.txt"; printf one > "..."; printf two > "..a"'"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchServer]:
    with batch_server(tmp_path_factory.mktemp("files") / "home") as made:
        service = made.workspace.batch
        service.add_pool(ACCOUNT, {"id": "files", "vmSize": "a1", "targetDedicatedNodes": 1})
        service.add_job(ACCOUNT, {"id": "files", "poolInfo": {"poolId": "files"}})
        service.add_task(ACCOUNT, "files", {"id": "t1", "commandLine": COMMAND})
        service.add_task(ACCOUNT, "files", {"id": "secret", "commandLine": "/bin/sh -c 'echo outside > secret.txt'"})
        for task in ("t1", "secret"):
            wait_until(lambda task=task: service.get_task(ACCOUNT, "files", task).state == "completed")
        yield made


@pytest.fixture
def raw(server: BatchServer) -> Iterator[RawClient]:
    with RawClient(server.url, ACCOUNT, server.key) as client:
        yield client


@pytest.mark.parametrize("path", ["wd/out%20dir/b.txt", "wd%2Fout%20dir%2Fb.txt", "wd%2fout%20dir/b.txt"])
def test_a_path_may_be_encoded_as_one_segment_or_not(raw, path):
    answer = raw.call("GET", f"{TASK}/{path}")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["ocp-batch-file-isdirectory"] == "false"
    assert answer.headers["ocp-batch-file-mode"].startswith("10")
    assert answer.headers["ocp-batch-file-url"].endswith(f"{TASK}/{path}")
    assert {"etag", "last-modified", "ocp-creation-time"} <= set(answer.headers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=-30", b"0123456789"),
        ("bytes=8-99999999999", b"89"),
    ],
)
def test_ranges(raw, text, expected):
    own = raw.call("GET", f"{TASK}/wd%2Fout%20dir%2Fb.txt", headers={"ocp-range": text})
    assert (own.status, own.body) == (200, expected)
    assert own.headers["content-length"] == str(len(expected))
    usual = raw.call("GET", f"{TASK}/wd%2Fout%20dir%2Fb.txt", headers={"range": text})
    assert (usual.status, usual.body) == (206, expected)
    assert usual.headers["content-range"].endswith("/10")


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("bytes=10-", 416, "InvalidRange"),
        ("bytes=-0", 416, "InvalidRange"),
        ("bytes=5-3", 400, "InvalidHeaderValue"),
        ("bytes=a-b", 400, "InvalidHeaderValue"),
        ("bytes=-", 400, "InvalidHeaderValue"),
        ("bytes=0-1,3-4", 400, "InvalidHeaderValue"),
        ("lines=0-1", 400, "InvalidHeaderValue"),
        ("bytes=" + "9" * 400 + "-", 400, "InvalidHeaderValue"),
    ],
)
def test_ranges_that_cannot_be_given(raw, text, status, code):
    answer = raw.call("GET", f"{TASK}/wd%2Fout%20dir%2Fb.txt", headers={"ocp-range": text})
    assert (answer.status, answer.code) == (status, code)


def test_an_empty_file_and_a_folder(raw):
    assert raw.call("GET", f"{TASK}/wd/empty").body == b""
    folder = raw.call("HEAD", f"{TASK}/wd")
    assert (folder.status, folder.headers["ocp-batch-file-isdirectory"]) == (200, "true")
    assert raw.call("GET", f"{TASK}/wd").code == "FileNotFound"


def test_properties_and_conditions(raw):
    head = raw.call("HEAD", f"{TASK}/wd/a.txt")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(INSIDE)), b"")
    stamp = head.headers["last-modified"]
    assert raw.call("GET", f"{TASK}/wd/a.txt", headers={"if-modified-since": stamp}).status == 304
    assert raw.call("GET", f"{TASK}/wd/a.txt", headers={"if-unmodified-since": stamp}).status == 200
    old = "Fri, 02 Jan 2015 03:04:05 GMT"
    assert raw.call("GET", f"{TASK}/wd/a.txt", headers={"if-unmodified-since": old}).status == 412


def test_lists_have_no_links_and_come_in_pages(raw):
    listed = raw.call("GET", TASK, query={"recursive": "true"}).json["value"]
    names = [each["name"] for each in listed]
    assert names == sorted(names)
    assert {"wd/a.txt", "wd/out dir/deep/c+d&e%.txt", "wd/..."} <= set(names)
    assert not {"wd/passwd", "wd/root", "wd/up", "wd/link", "wd/pipe"} & set(names)
    paged: list[str] = []
    token = ""
    while True:
        query = {"recursive": "true", "maxresults": "3", **({"$skiptoken": token} if token else {})}
        page = raw.call("GET", TASK, query=query).json
        paged += [each["name"] for each in page["value"]]
        if "odata.nextLink" not in page:
            break
        assert len(page["value"]) == 3
        token = page["odata.nextLink"].rpartition("=")[2]
    assert paged == names
    found = raw.call("GET", TASK, query={"recursive": "true", "$filter": "startswith(name,'wd/out')"}).json["value"]
    assert [each["name"] for each in found] == [name for name in names if name.startswith("wd/out")]
    url = next(each["url"] for each in listed if each["name"].endswith("%.txt"))
    assert raw.call("GET", url.partition(raw.prefix)[2]).body == b"deep"


def test_deletion(server, raw):
    folder = next(Path(server.workspace.home).rglob("workitems/files/job-1/t1/wd"))
    (folder / "gone").mkdir()
    (folder / "gone" / "x").write_bytes(b"x")
    assert raw.call("DELETE", f"{TASK}/wd%2Fgone").code == "OperationInvalidForCurrentState"
    assert raw.call("DELETE", f"{TASK}/wd%2Fgone", query={"recursive": "perhaps"}).code == "InvalidQueryParameterValue"
    assert raw.call("DELETE", f"{TASK}/wd%2Fgone", query={"recursive": "true"}).status == 200
    assert not (folder / "gone").exists()
    assert raw.call("DELETE", f"{TASK}/wd%2Fgone").code == "FileNotFound"


OWN_LINKS = ("wd/passwd", "wd/root", "wd/link", "wd/pipe")


def tricks() -> list[str]:
    """Raw paths that try to get out of the folder of a task, in every spelling we know."""
    slashes = ["/", "%2F", "%2f", "//", "%5C", "\\", "%252F", "%c0%af", "%ef%bc%8f"]
    dots = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "...", "..;", "..%00", "%c0%ae%c0%ae", "..%20", ". ."]
    targets = ["etc/passwd", "secret/wd/secret.txt", "secrets.json"]
    found = [
        slash.join([dot] * depth) + slash + target.replace("/", slash)
        for slash, dot, depth, target in itertools.product(slashes, dots, (1, 4), targets)
    ]
    found += [f"wd/{prefix}{path}" for prefix in ("root/", "up/", "passwd/", "link/", "./", "") for path in found[::9]]
    found += [
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "//etc/passwd",
        "file:///etc/passwd",
        "wd/passwd",
        "wd/root/etc/passwd",
        "wd/root",
        "wd/up/secret/wd/secret.txt",
        "wd/link",
        "wd/pipe",
        "wd/a.txt/",
        "wd/a.txt/..",
        "wd/./a.txt",
        "wd//a.txt",
        "wd/a.txt%00",
        "wd/a.txt%00.png",
        "%00",
        ".",
        "..",
        "%20",
        "~root/.bashrc",
        "$HOME/.bashrc",
        "C:%5CWindows%5Cwin.ini",
        "%5C%5Chost%5Cshare",
        "wd/" + "a" * 300,
        "a/" * 1000 + "b",
        "%FF%FE",
        "%",
        "%zz",
        "wd/%F0%9F%92%A9",
        "proc/self/environ",
        "wd/root/proc/self/environ",
    ]
    return found


def outside(server: BatchServer) -> dict[str, bytes]:
    home = Path(server.workspace.home)
    secret = next(home.rglob("workitems/files/job-1/secret/wd/secret.txt"))
    return {str(path): path.read_bytes() for path in (secret, home / "secrets.json", Path("/etc/passwd"))}


@pytest.mark.parametrize("base", [TASK, "/pools/files/nodes/{node}/files/workitems/files/job-1/t1"])
def test_no_path_leads_out_of_the_folder(server, raw, base):
    node = next(iter(server.workspace.batch.list_nodes(ACCOUNT, "files"))).id
    base = base.replace("{node}", node)
    before = outside(server)
    cases = tricks()
    assert len(cases) >= 500
    for number, path in enumerate(cases):
        sendable = quote(path, safe="/%\\;:~$.@+ ").replace(" ", "%20").replace("\\", "%5C")
        deletes = number % 3 == 0 and "a.txt" not in path
        for method in ("GET", "DELETE") if deletes else ("GET",):
            answer = raw.call(method, f"{base}/{sendable}")
            if method == "DELETE" and answer.status == 200:
                assert path in OWN_LINKS  # the link itself goes, never what it leads to
                continue
            assert answer.status in (400, 404), (path, answer.status, answer.body[:200])
            assert answer.code in ("InvalidUri", "FileNotFound", "ResourceNotFound"), (path, answer.code)
            for content in before.values():
                assert content not in answer.body
    assert outside(server) == before
    assert raw.call("GET", f"{TASK}/wd/a.txt").body == INSIDE


def test_a_large_file_is_streamed(server, raw):
    folder = next(Path(server.workspace.home).rglob("workitems/files/job-1/t1/wd"))
    size = 64 * 1024 * 1024
    with (folder / "large").open("wb") as out:
        out.truncate(size)
    before = memory_peak()
    answer = raw.call("HEAD", f"{TASK}/wd/large")
    assert answer.headers["content-length"] == str(size)
    raw.connection.request("GET", f"{raw.prefix}/nothing")
    raw.connection.getresponse().read()
    received = 0
    response = stream(raw, f"{TASK}/wd/large")
    while piece := response.read(1 << 20):
        received += len(piece)
    assert received == size
    assert memory_peak() - before < size / 2


def stream(raw: RawClient, path: str):
    """The answer without its body in memory."""
    from datetime import UTC, datetime
    from email.utils import format_datetime

    from kyanite.server.batch.shared_key import Signed, sign, string_to_sign

    headers = {"ocp-date": format_datetime(datetime.now(UTC), usegmt=True)}
    text = string_to_sign(Signed("GET", raw.prefix + path, headers, [("api-version", "2025-06-01")]), raw.account)
    headers["authorization"] = f"SharedKey {raw.account}:{sign(raw.key, text)}"
    raw.connection.request("GET", f"{raw.prefix}{path}?api-version=2025-06-01", headers=headers)
    return raw.connection.getresponse()


def memory_peak() -> int:
    """The most memory this process has had, in bytes."""
    import resource

    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
