"""Resource files and application packages on their way to a node."""

from __future__ import annotations

import stat
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from kyanite import limits
from kyanite.batch.packages import unpack, variable_of
from kyanite.batch.pools import Room
from kyanite.batch.specs import ResourceFile
from kyanite.batch.staging import StagingError, check_paths, stage
from kyanite.errors import BatchError
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

ACCOUNT = "https://stagingaccount.blob.core.windows.net"


@pytest.fixture
def room(tmp_path):
    from kyanite.connections import open_url

    accounts = StorageAccounts(tmp_path / "storage", Vault())
    account = accounts.create("stagingaccount")
    account.create_container("code")
    for name in ("lib/a.py", "lib/sub/b.py", "lib2/c.py", "other.txt"):
        with account.open_write("code", name) as out:
            out.write(name.encode())
            out.commit()
    return Room(
        tmp_path / "batch", tmp_path, lambda url: open_url(url, accounts), lambda name: ACCOUNT if name == "b" else None
    )


@pytest.fixture
def root(tmp_path):
    (tmp_path / "node/wd").mkdir(parents=True)
    return tmp_path / "node"


def staged(root, room, *files, account="b"):
    check_paths(files)
    stage(root, ("wd",), files, room, account)
    return sorted(str(path.relative_to(root / "wd")) for path in (root / "wd").rglob("*") if path.is_file())


def code_of(root, room, file, account="b"):
    with pytest.raises(StagingError) as caught:
        staged(root, room, file, account=account)
    assert caught.value.failure.category == "UserError"
    return caught.value.failure.code


@pytest.mark.parametrize(
    ("folder", "prefix", "names"),
    [
        ("", "", ["lib/a.py", "lib/sub/b.py", "lib2/c.py", "other.txt"]),
        ("", "lib", ["lib/a.py", "lib/sub/b.py", "lib2/c.py"]),  # part of a name
        ("in/", "lib/", ["in/lib/a.py", "in/lib/sub/b.py"]),  # the whole name is kept
        ("", "lib/sub/b", ["lib/sub/b.py"]),
        ("", "none", []),
    ],
)
@pytest.mark.parametrize("source", [{"container_url": f"{ACCOUNT}/code"}, {"auto_container": "code"}])
def test_containers_are_staged_by_prefix(root, room, source, folder, prefix, names):
    assert staged(root, room, ResourceFile(folder, blob_prefix=prefix, **source)) == names
    for name in names:
        assert (root / "wd" / name).read_text() == name.removeprefix("in/")


def test_the_mode_is_that_of_the_file(root, room):
    staged(root, room, ResourceFile("x", content=b"", mode=0o750), ResourceFile("y", content=b""))
    modes = [stat.S_IMODE((root / "wd" / name).stat().st_mode) for name in ("x", "y")]
    assert modes == [0o750, 0o770]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (ResourceFile("x", http_url=f"{ACCOUNT}/code/none"), "BlobNotFound"),
        (ResourceFile("", container_url=f"{ACCOUNT}/missing"), "ResourceContainerNotFound"),
        (ResourceFile("", auto_container="missing"), "ResourceContainerNotFound"),
        (ResourceFile("x", source_path="/no/such/file"), "BlobNotFound"),
        (ResourceFile("x", http_url="http://127.0.0.1:9/x"), "BlobDownloadMiscError"),
    ],
)
def test_what_is_missing_has_the_services_code(root, room, file, code):
    assert code_of(root, room, file) == code


def test_an_account_without_storage_says_so(root, room):
    assert code_of(root, room, ResourceFile("", auto_container="code"), account="c") == "ResourceContainerNotFound"


def test_containers_are_not_unbounded(root, room, monkeypatch):
    monkeypatch.setattr(limits, "RESOURCE_FILES_PER_CONTAINER", 2)
    assert code_of(root, room, ResourceFile("", auto_container="code")) == "BlobDownloadMiscError"


def test_any_address_is_fetched_and_its_refusals_have_codes(root, room):
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            status = int(self.path.partition("?")[0].rpartition("/")[2])
            self.send_response(status)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *arguments):
            return

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/file/"
        assert staged(root, room, ResourceFile("x", http_url=url + "200?sig=secret")) == ["x"]
        assert (root / "wd/x").read_bytes() == b"hello"
        codes = {
            status: code_of(root, room, ResourceFile("y", http_url=f"{url}{status}")) for status in (403, 404, 500)
        }
        assert codes == {403: "BlobAccessDenied", 404: "BlobNotFound", 500: "BlobDownloadMiscError"}
        with pytest.raises(StagingError) as caught:
            staged(root, room, ResourceFile("y", http_url=url + "404?sig=topsecret"))
        assert "topsecret" not in f"{caught.value} {caught.value.failure}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "file",
    [
        ResourceFile("../x", content=b""),
        ResourceFile("x", content=b"", http_url="http://a/b"),
        ResourceFile("../up", auto_container="code"),
        ResourceFile("x"),
    ],
)
def test_wrong_files_are_refused_before_anything_is_staged(file):
    with pytest.raises(BatchError):
        check_paths([file])


# ---- application packages


def package(folder, members, **options):
    path = folder / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refused(folder, path):
    with pytest.raises(StagingError) as caught:
        unpack(folder / "applications", [("AZ_BATCH_APP_PACKAGE_app", path)])
    assert caught.value.failure.code == "ApplicationPackageError"
    assert not [entry for entry in (folder / "applications").iterdir() if not entry.name.startswith(".")]
    return caught.value.failure.message


@pytest.fixture
def place(tmp_path):
    (tmp_path / "applications").mkdir()
    return tmp_path


def test_variables_are_named_as_on_linux():
    assert variable_of("Blender", "2.8-rc") == "AZ_BATCH_APP_PACKAGE_blender_2_8_rc"
    assert variable_of("my.app", None) == "AZ_BATCH_APP_PACKAGE_my_app"


def test_a_package_is_unpacked_once_per_version(place):
    member = zipfile.ZipInfo("bin/run")
    member.external_attr = 0o755 << 16
    path = package(place, [(member, "#!/bin/sh\n"), ("data/", ""), ("data/x.txt", "x")])
    folders = unpack(place / "applications", [("AZ_BATCH_APP_PACKAGE_app_1", path)])
    folder = folders["AZ_BATCH_APP_PACKAGE_app_1"]
    assert (place / folder / "data/x.txt").read_text() == "x"
    assert (place / folder / "bin/run").stat().st_mode & 0o777 == 0o755
    (place / folder / "mark").touch()
    assert unpack(place / "applications", [("AZ_BATCH_APP_PACKAGE_app_1", path)]) == folders
    assert (place / folder / "mark").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "C:\\x", ""])
def test_members_cannot_leave_the_folder(place, name):
    if name == "C:\\x":
        name = "C:\\..\\x"
    refused(place, package(place, [(name or "./", "x")]))


def test_links_twins_bombs_and_crowds_are_refused(place, monkeypatch):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "link" in refused(place, package(place, [(link, "/etc/passwd")]))
    assert "twice" in refused(place, package(place, [("A", "x"), ("a", "y")]))
    assert "compressed more" in refused(place, package(place, [("bomb", b"\0" * 30_000_000)]))
    monkeypatch.setattr(limits, "ARCHIVE_MEMBERS", 2)
    assert "members" in refused(place, package(place, [(str(number), "") for number in range(3)]))
    monkeypatch.setattr(limits, "ARCHIVE_BYTES", 10)
    assert "bytes" in refused(place, package(place, [("x", "01234567890")]))


def test_what_is_no_zip_is_refused(place):
    (place / "package.zip").write_bytes(b"PK\x03\x04 not really")
    refused(place, place / "package.zip")
    refused(place, place / "none.zip")
