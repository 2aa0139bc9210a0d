"""One contract for every connection: an account of the workspace, a plain folder, and an object store."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from kyanite.connections.embedded import EmbeddedConnection
from kyanite.connections.local_folder import LocalFolder
from kyanite.errors import StorageError, UserError
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts


def put(connection, path, data=b"data"):
    with connection.open_write(path) as out:
        out.write(data)
        out.commit()


def read(connection, path):
    with connection.open_read(path) as file:
        return file.read()


def paths(connection, folder, **options):
    return [(e.path, e.size, e.is_folder) for e in connection.list(folder, **options)]


def code_of(action):
    with pytest.raises(StorageError) as caught:
        action()
    return caught.value.error_code


class ConnectionContract:
    """A connection with an empty container `box`; subclasses give it."""

    @pytest.fixture
    def connection(self, tmp_path):
        raise NotImplementedError

    def leavings(self, tmp_path):
        return [p for p in tmp_path.rglob("*") if p.is_file() and ("kyanite" in p.name or ".staging" in p.parts)]

    def test_write_read_stat(self, connection):
        put(connection, "box/in/a.parq", b"0123456789")
        entry = connection.stat("box/in/a.parq")
        assert (entry.path, entry.size, entry.is_folder, entry.name) == ("box/in/a.parq", 10, False, "a.parq")
        assert entry.modified.utcoffset() is not None
        assert read(connection, "box/in/a.parq") == b"0123456789"

    def test_slashes_collapse(self, connection):
        put(connection, "box//in///a.parq")
        assert connection.stat("/box/in/a.parq/").path == "box/in/a.parq"

    def test_ranges(self, connection):
        data = bytes(range(256)) * 5000
        put(connection, "box/a", data)
        with connection.open_read("box/a") as file:
            assert file.seekable()
            assert file.seek(-6, 2) == len(data) - 6
            assert file.read() == data[-6:]
            file.seek(1000)
            assert file.read(2_000_000) == data[1000:]
            assert file.seek(300) == 300 and file.read(3) == data[300:303] and file.tell() == 303
            assert not file.closed

    def test_list_is_in_full_path_order(self, connection):
        for name in ("b", "a/x", "a-b", "a/b/c", "A", "a/b.txt"):
            put(connection, f"box/{name}")
        assert [p for p, _, _ in paths(connection, "box")] == sorted(
            f"box/{n}" for n in ("b", "a/x", "a-b", "a/b/c", "A", "a/b.txt")
        )
        direct = paths(connection, "box", recursive=False)
        assert sorted(direct) == [("box/A", 4, False), ("box/a", 0, True), ("box/a-b", 4, False), ("box/b", 4, False)]
        assert [p for p, _, _ in paths(connection, "box/a")] == ["box/a/b.txt", "box/a/b/c", "box/a/x"]

    def test_folders(self, connection):
        put(connection, "box/one/two/x")
        assert connection.stat("box/one").is_folder
        assert connection.stat("box").is_folder
        assert connection.stat("box/one/two/x/y") is None
        assert connection.stat("box/none") is None

    def test_nothing_visible_before_commit(self, connection):
        out = connection.open_write("box/new/a")
        out.write(b"x" * 3_000_000)
        out.flush()
        assert out.tell() == 3_000_000
        assert connection.stat("box/new/a") is None
        assert paths(connection, "box") == []
        out.commit()
        assert out.closed
        assert connection.stat("box/new/a").size == 3_000_000

    @pytest.mark.parametrize("end", ["abort", "close", "leave", "raise"])
    def test_abort_leaves_nothing(self, connection, tmp_path, end):
        put(connection, "box/a", b"old")
        out = connection.open_write("box/a")
        out.write(b"new" * 1_000_000)
        if end in ("abort", "close"):
            getattr(out, end)()
        elif end == "leave":
            with out:
                pass
        else:
            with pytest.raises(KeyError), out:
                raise KeyError
        assert read(connection, "box/a") == b"old"
        assert self.leavings(tmp_path) == []
        assert code_of(lambda: out.write(b"x")) == "InvalidOperation"
        assert code_of(out.commit) == "InvalidOperation"
        out.abort()

    def test_overwrite_replaces_at_once(self, connection, tmp_path):
        put(connection, "box/a", b"old old old")
        with connection.open_read("box/a") as before, connection.open_write("box/a") as out:
            out.write(b"new")
            assert read(connection, "box/a") == b"old old old"
            out.commit()
            assert read(connection, "box/a") == b"new"
            before.read(1)
        assert self.leavings(tmp_path) == []

    def test_commit_twice_is_refused_and_abort_after_commit_is_harmless(self, connection):
        out = connection.open_write("box/a")
        out.write(b"1")
        out.commit()
        assert code_of(out.commit) == "InvalidOperation"
        out.abort()
        assert read(connection, "box/a") == b"1"

    def test_read_back(self, connection):
        with connection.open_write("box/a") as out:
            out.write(b"abc")
            back = out.read_back()
            if back is not None:
                with back:
                    back.seek(1)
                    assert back.read() == b"bc"
            out.write(b"def")
            out.commit()
        assert read(connection, "box/a") == b"abcdef"

    def test_empty_file(self, connection):
        put(connection, "box/empty", b"")
        assert connection.stat("box/empty").size == 0
        assert read(connection, "box/empty") == b""

    def test_delete(self, connection):
        put(connection, "box/a")
        put(connection, "box/f/b")
        put(connection, "box/f/g/c")
        connection.delete("box/a")
        assert connection.stat("box/a") is None
        connection.delete("box/f")
        assert connection.stat("box/f") is None
        assert code_of(lambda: connection.delete("box/a")) == "BlobNotFound"

    def test_copy(self, connection):
        put(connection, "box/a", b"one")
        put(connection, "box/t/b", b"older and longer")
        connection.copy("box/a", "box/t/b")
        assert read(connection, "box/t/b") == read(connection, "box/a") == b"one"
        assert code_of(lambda: connection.copy("box/none", "box/t/b")) == "BlobNotFound"
        assert read(connection, "box/t/b") == b"one"

    def test_missing(self, connection):
        put(connection, "box/there")
        assert code_of(lambda: connection.open_read("box/none")) == "BlobNotFound"
        assert code_of(lambda: list(connection.list("box/none"))) == "PathNotFound"

    @pytest.mark.parametrize(
        "name",
        ["with blank", "per%41cent %20", "ünïcødé 北", "a#b?c", "a+b&c=d;e", ".hidden", "~", "q'uo\"te", "C:", "*"],
    )
    def test_weird_names(self, connection, name):
        put(connection, f"box/{name}/{name}.parq", b"w")
        assert [p for p, _, _ in paths(connection, "box")] == [f"box/{name}/{name}.parq"]
        assert read(connection, f"box/{name}/{name}.parq") == b"w"
        assert "\n" not in connection.url(f"box/{name}")

    @pytest.mark.parametrize(
        "path",
        ["box/../other/a", "box/a/..", "box/a\0b", "box\\a", "box/a\nb", "box/" + "a" * 300, "box/a" + "/a" * 600],
    )
    def test_refused_paths(self, connection, path):
        for action in (connection.open_write, connection.open_read, connection.stat, connection.delete):
            with pytest.raises(UserError):
                action(path)

    def test_set_appears_together(self, connection, tmp_path):
        put(connection, "box/out/keep.txt")
        for number in range(3):
            put(connection, f"box/out/part-{number}", b"old")
        with connection.open_set("box/out", lambda name: name.startswith("part-")) as files:
            for number in range(2):
                with files.open(f"part-{number}") as out:
                    out.write(b"new")
                    out.commit()
            assert read(connection, "box/out/part-0") == b"old"
            files.commit()
        assert [p for p, _, _ in paths(connection, "box/out")] == [
            "box/out/keep.txt",
            "box/out/part-0",
            "box/out/part-1",
        ]
        assert read(connection, "box/out/part-1") == b"new"
        assert self.leavings(tmp_path) == []

    @pytest.mark.parametrize("old", [0, 2])
    def test_set_into_a_folder_of_its_own(self, connection, tmp_path, old):
        for number in range(old):
            put(connection, f"box/deep/out/part-{number}", b"old")
        with connection.open_set("box/deep/out", lambda name: name.startswith("part-")) as files:
            with files.open("part-0") as out:
                out.write(b"new")
                out.commit()
            files.commit()
        assert paths(connection, "box") == [("box/deep/out/part-0", 3, False)]
        assert self.leavings(tmp_path) == []

    def test_set_aborted(self, connection, tmp_path):
        put(connection, "box/out/part-0", b"old")
        with pytest.raises(KeyError), connection.open_set("box/out", lambda name: True) as files:
            with files.open("part-0") as out:
                out.commit()
            files.open("part-1").write(b"x")
            raise KeyError
        assert paths(connection, "box") == [("box/out/part-0", 3, False)]
        assert self.leavings(tmp_path) == []

    def test_set_with_an_open_file_is_not_committed(self, connection):
        put(connection, "box/out/part-0", b"old")
        with connection.open_set("box/out", lambda name: True) as files:
            files.open("part-0").write(b"x")
            assert code_of(files.commit) == "InvalidOperation"
        assert read(connection, "box/out/part-0") == b"old"

    def test_a_file_of_a_set_is_read_and_replaced_before_it_is_seen(self, connection, tmp_path):
        with connection.open_set("box/out", lambda name: True) as files:
            for data in (b"first", b"second"):
                with files.open("part-0") as out:
                    out.write(data)
                    out.commit()
                with files.open_read("part-0") as file:
                    assert file.read() == data
            assert connection.stat("box/out/part-0") is None
            files.commit()
        assert paths(connection, "box") == [("box/out/part-0", 6, False)]
        assert self.leavings(tmp_path) == []

    def test_check(self, connection):
        connection.check()


class TestEmbedded(ConnectionContract):
    @pytest.fixture
    def connection(self, tmp_path):
        account = StorageAccounts(tmp_path / "storage", Vault()).create("boxes")
        account.create_container("box")
        return EmbeddedConnection(account)

    def leavings(self, tmp_path):
        return list((tmp_path / "storage/boxes/.staging").iterdir())

    def test_missing_container_names_those_there(self, connection):
        put(connection, "box/a")
        for action in (
            lambda: list(connection.list("nobox")),
            lambda: connection.open_read("nobox/a"),
            lambda: connection.open_write("nobox/a"),
            lambda: connection.delete("nobox"),
        ):
            with pytest.raises(StorageError, match="It has: box") as caught:
                action()
            assert caught.value.error_code == "ContainerNotFound"

    def test_root_lists_containers(self, connection):
        put(connection, "box/a")
        assert paths(connection, "", recursive=False) == [("box", 0, True)]
        assert paths(connection, "") == [("box/a", 4, False)]

    def test_container_is_a_target_of_a_set(self, connection):
        put(connection, "box/part-9", b"old")
        with connection.open_set("box", lambda name: True) as files:
            with files.open("part-0") as out:
                out.commit()
            files.commit()
        assert paths(connection, "box") == [("box/part-0", 0, False)]

    def test_url(self, connection):
        assert connection.url("box/a b") == "https://boxes.blob.core.windows.net/box/a%20b"
        assert EmbeddedConnection(connection.account, "AzureBlobFS").url("box").startswith("https://boxes.dfs.")


class TestLocalFolder(ConnectionContract):
    @pytest.fixture
    def connection(self, tmp_path):
        (tmp_path / "box").mkdir()
        return LocalFolder(tmp_path)

    def test_link_out_is_refused(self, connection, tmp_path, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside")
        (outside / "secret").write_bytes(b"s")
        (tmp_path / "box/link").symlink_to(outside)
        assert code_of(lambda: connection.open_read("box/link/secret")) == "LinkRefused"
        assert code_of(lambda: connection.open_write("box/link/new")) == "LinkRefused"
        assert code_of(lambda: connection.delete("box/link/secret")) == "LinkRefused"
        assert paths(connection, "box") == []
        assert [p.name for p in outside.iterdir()] == ["secret"]

    def test_link_inside_is_followed(self, connection, tmp_path):
        put(connection, "box/a")
        (tmp_path / "box/link").symlink_to("a")
        assert read(connection, "box/link") == b"data"

    def test_written_files_have_the_users_mode(self, connection, tmp_path):
        put(connection, "box/a")
        (tmp_path / "plain").write_bytes(b"")
        assert (tmp_path / "box/a").stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestObjectStore(ConnectionContract):
    @pytest.fixture
    def connection(self):
        from obstore.store import MemoryStore

        from kyanite.connections.object_store import ObjectStoreConnection

        stores = {"box": MemoryStore()}
        return ObjectStoreConnection("AzureBlobStorage", "https://far.blob.core.windows.net", stores.__getitem__)

    def leavings(self, tmp_path):
        return []

    def test_check(self, connection):
        any_container = type(connection)("AzureBlobStorage", "https://far", lambda name: connection._store("box"))
        any_container.check()

    def test_change_while_reading_is_an_error(self, connection):
        put(connection, "box/a", b"1" * 5_000_000)
        with connection.open_read("box/a") as file:
            file.read(10)
            put(connection, "box/a", b"2" * 5_000_000)
            file.seek(4_000_000)
            assert code_of(lambda: file.read(10)) == "ConditionNotMet"

    def test_overwrite_replaces_at_once(self, connection):
        put(connection, "box/a", b"old")
        with connection.open_write("box/a") as out:
            out.write(b"new")
            assert read(connection, "box/a") == b"old"
            out.commit()
        assert read(connection, "box/a") == b"new"

    def test_folder_markers_are_not_files(self, connection):
        put(connection, "box/in", b"")
        put(connection, "box/in/a")
        assert paths(connection, "box") == [("box/in/a", 4, False)]


class Answer(http.server.BaseHTTPRequestHandler):
    """A store that gives one answer to everything; like the real one, without a body for HEAD."""

    def do_GET(self):
        status, code = self.server.answer
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def answering():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


KEY = "d3JvbmdrZXl3cm9uZ2tleQ=="


@pytest.mark.parametrize(
    ("answer", "check", "listing", "reading"),
    [
        ((403, "AuthenticationFailed"), "AuthenticationFailed", "AuthenticationFailed", "AuthenticationFailed"),
        ((401, "NoAuthenticationInformation"), *["AuthenticationFailed"] * 3),
        ((403, "AuthorizationFailure"), "AuthorizationFailure", "AuthorizationFailure", "AuthenticationFailed"),
        ((404, "ContainerNotFound"), None, "ContainerNotFound", "BlobNotFound"),
        ((409, "ContainerBeingDeleted"), "ContainerBeingDeleted", "ContainerBeingDeleted", "StorageError"),
        ((503, "ServerBusy"), "ServerBusy", "ServerBusy", "ServerBusy"),
    ],
)
def test_answers_of_a_real_store_are_told_clearly(answering, answer, check, listing, reading):
    from kyanite.connections import open_connection

    answering.answer = answer
    text = f"AccountName=far;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{answering.server_port}/far"
    linked = {"name": "Far", "type": "AzureBlobStorage", "typeProperties": {"connectionString": text}}
    connection = open_connection(linked, None)
    for action, code in (
        (connection.check, check),
        (lambda: list(connection.list("box")), listing),
        (lambda: connection.open_read("box/a"), reading),
    ):
        if code is None:
            action()
            continue
        with pytest.raises(StorageError) as caught:
            action()
        assert caught.value.error_code == code and KEY not in str(caught.value) and "\n" not in str(caught.value)
        assert caught.value.__cause__ is None
    if answer[0] == 404:
        assert connection.stat("box/a") is None and connection.stat("box") is None


def test_pyarrow_reads_and_writes_through_every_connection(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from obstore.store import MemoryStore

    from kyanite.connections.object_store import ObjectStoreConnection

    account = StorageAccounts(tmp_path / "storage", Vault()).create("boxes")
    account.create_container("box")
    store = MemoryStore()
    table = pa.table({"n": list(range(1000))})
    for connection in (
        EmbeddedConnection(account),
        LocalFolder(Path(tmp_path)),
        ObjectStoreConnection("AzureBlobStorage", "https://far", lambda name: store),
    ):
        with connection.open_write("box/t.parquet") as out:
            pq.write_table(table, out)
            out.commit()
        with connection.open_read("box/t.parquet") as file:
            assert pq.ParquetFile(file).read().equals(table)
