"""The workspace's database: what commits, what is undone, and what a person reads when it cannot be used."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from kyanite.database import Database, _migrations, _split, named_statements, place
from kyanite.errors import InvariantError, StateError, UserError


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "workspace" / "kyanite.db")
    database.execute("CREATE TABLE things (name TEXT PRIMARY KEY, number INTEGER)")
    yield database
    database.close()


def names(database):
    return [row["name"] for row in database.query("SELECT name FROM things ORDER BY name")]


def run(program, *arguments, **environment):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)


class TestFile:
    def test_file_and_folder_are_private(self, database):
        assert stat.S_IMODE(database.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700
        database.execute("INSERT INTO things VALUES ('a', 1)")
        for entry in database.path.parent.iterdir():
            assert stat.S_IMODE(entry.stat().st_mode) == 0o600, entry.name

    def test_a_readable_file_is_made_private(self, database):
        database.close()
        database.path.chmod(0o644)
        Database(database.path).close()
        assert stat.S_IMODE(database.path.stat().st_mode) == 0o600

    def test_settings(self, database):
        def setting(name):
            return database.query(f"PRAGMA {name}")[0][0]

        assert (setting("journal_mode"), setting("synchronous"), setting("foreign_keys")) == ("wal", 2, 1)
        assert setting("user_version") == _migrations()[-1][0]

    def test_closing_leaves_one_file(self, database):
        database.execute("INSERT INTO things VALUES ('a', 1)")
        database.close()
        database.close()
        assert [entry.name for entry in database.path.parent.iterdir()] == ["kyanite.db"]
        with pytest.raises(InvariantError, match="closed"):
            database.query("SELECT 1")

    def test_a_private_one_in_memory(self):
        database = Database(None)
        assert database.query("SELECT count(*) AS n FROM runs")[0]["n"] == 0
        database.close()


class TestTransactions:
    def test_everything_or_nothing(self, database):
        with pytest.raises(ZeroDivisionError), database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            raise ZeroDivisionError
        assert names(database) == []
        with database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            database.execute_many("INSERT INTO things VALUES (?, ?)", [("b", 2), ("c", 3)])
        assert names(database) == ["a", "b", "c"]

    def test_one_commit_for_nested_transactions(self, database):
        before = database.commits
        with database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            with database.transaction():
                database.execute("INSERT INTO things VALUES ('b', 1)")
        assert database.commits == before + 1
        assert names(database) == ["a", "b"]

    def test_a_nested_failure_undoes_only_its_own_part(self, database):
        with database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            with pytest.raises(sqlite3.IntegrityError), database.transaction():
                database.execute("INSERT INTO things VALUES ('b', 1)")
                database.execute("INSERT INTO things VALUES ('a', 2)")
            with pytest.raises(ZeroDivisionError), database.transaction():
                raise ZeroDivisionError
            database.execute("INSERT INTO things VALUES ('c', 1)")
        assert names(database) == ["a", "c"]

    def test_a_failing_list_of_rows_leaves_none(self, database):
        with pytest.raises(sqlite3.IntegrityError):
            database.execute_many("INSERT INTO things VALUES (?, ?)", [("a", 1), ("a", 2)])
        assert names(database) == []

    def test_changed_rows_are_counted(self, database):
        database.execute_many("INSERT INTO things VALUES (?, ?)", [("a", 1), ("b", 1)])
        assert database.execute("UPDATE things SET number = 2") == 2
        assert database.execute("DELETE FROM things WHERE name = :name", {"name": "c"}) == 0

    def test_a_transaction_that_sqlite_ended_takes_no_more_statements(self, database):
        with pytest.raises(StateError, match="undone"), database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            database._connection.execute("ROLLBACK")
            database.execute("INSERT INTO things VALUES ('b', 1)")
        assert names(database) == []

    def test_threads_do_not_mix(self, database):
        database.execute("INSERT INTO things VALUES ('sum', 0)")

        def add():
            for _ in range(25):
                with database.transaction():
                    number = database.query("SELECT number FROM things")[0]["number"]
                    database.execute("UPDATE things SET number = ?", (number + 1,))

        threads = [threading.Thread(target=add) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert database.query("SELECT number FROM things")[0]["number"] == 100

    def test_two_connections_wait_for_each_other(self, database):
        other = Database(database.path)
        database.execute("INSERT INTO things VALUES ('sum', 0)")

        def add(connection):
            for _ in range(25):
                with connection.transaction():
                    number = connection.query("SELECT number FROM things")[0]["number"]
                    connection.execute("UPDATE things SET number = ?", (number + 1,))

        threads = [threading.Thread(target=add, args=(connection,)) for connection in (database, other)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        other.close()
        assert database.query("SELECT number FROM things")[0]["number"] == 50


class TestFailures:
    def test_a_locked_database(self, database):
        impatient = Database(database.path, busy_seconds=0.05)
        with database.transaction():
            database.execute("INSERT INTO things VALUES ('a', 1)")
            with pytest.raises(StateError, match=r"locked for 0.05 s.*try again") as caught:
                impatient.execute("INSERT INTO things VALUES ('b', 1)")
        impatient.close()
        assert caught.value.error_code == "DatabaseLocked"

    def test_a_full_disk_undoes_the_transaction(self, database):
        pages = database.query("PRAGMA page_count")[0][0]
        database.query(f"PRAGMA max_page_count={pages + 4}")
        with pytest.raises(StateError, match=r"disk is full.*Free some space") as caught, database.transaction():
            database.execute("INSERT INTO things VALUES ('small', 1)")
            for number in range(100):
                database.execute("INSERT INTO things VALUES (?, 1)", (f"{number}" * 3000,))
        assert caught.value.error_code == "DiskFull"
        assert names(database) == []
        database.execute("INSERT INTO things VALUES ('a', 1)")
        assert names(database) == ["a"]

    def test_a_full_disk_in_a_nested_transaction_undoes_all(self, database):
        pages = database.query("PRAGMA page_count")[0][0]
        database.query(f"PRAGMA max_page_count={pages + 4}")
        with pytest.raises(StateError), database.transaction():
            database.execute("INSERT INTO things VALUES ('small', 1)")
            with database.transaction():
                database.execute_many("INSERT INTO things VALUES (?, 1)", [(f"{n}" * 3000,) for n in range(100)])
        assert names(database) == []

    def test_a_file_that_is_no_database(self, tmp_path):
        path = tmp_path / "kyanite.db"
        path.write_bytes(b"something else entirely " * 100)
        with pytest.raises(StateError, match=r"kyanite.db: The state database is damaged.*backup"):
            Database(path)

    def test_a_damaged_page(self, database):
        database.execute_many("INSERT INTO things VALUES (?, 1)", [(f"{n:05}" * 40,) for n in range(500)])
        database.close()
        content = bytearray(database.path.read_bytes())
        content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
        database.path.write_bytes(content)
        with pytest.raises(StateError, match="damaged"):
            damaged = Database(database.path)
            try:
                damaged.query("SELECT sum(length(name)) FROM things")
            finally:
                damaged.close()

    def test_a_place_that_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StateError, match=r"cannot be opened.*--home"):
            Database(tmp_path / "file" / "kyanite.db")

    def test_a_database_that_may_only_be_read(self, database):
        database.query("PRAGMA query_only=ON")
        with pytest.raises(StateError, match=r"cannot be written.*writable"):
            database.execute("INSERT INTO things VALUES ('a', 1)")

    def test_a_wrong_statement_is_our_defect_or_an_outdated_table(self, database):
        with pytest.raises(InvariantError, match="used wrongly"):
            database.query("SELECT ?", ())
        with pytest.raises(StateError, match="no such table: missing"):
            database.query("SELECT * FROM missing")


class TestMigrations:
    def test_a_workspace_from_the_future_is_refused_and_left_alone(self, database):
        database.query("PRAGMA user_version=9999")
        database.close()
        before = database.path.read_bytes()
        with pytest.raises(StateError, match=r"newer kyanite \(schema 9999.*Upgrade kyanite"):
            Database(database.path)
        assert database.path.read_bytes() == before

    def test_numbers_follow_one_another(self):
        assert [number for number, _ in _migrations()] == list(range(1, len(_migrations()) + 1))

    def test_each_step_starts_where_the_last_one_ended(self, tmp_path, monkeypatch):
        steps = [(1, "CREATE TABLE a (x);"), (2, "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = 1;")]
        monkeypatch.setattr("kyanite.database._migrations", lambda: steps[:1])
        first = Database(tmp_path / "kyanite.db")
        first.execute("INSERT INTO a VALUES (7)")
        first.close()
        monkeypatch.setattr("kyanite.database._migrations", lambda: steps)
        second = Database(tmp_path / "kyanite.db")
        assert [tuple(row) for row in second.query("SELECT x, y FROM a")] == [(7, 1)]
        second.close()

    def test_a_step_that_fails_leaves_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr("kyanite.database._migrations", lambda: [(1, "CREATE TABLE a (x); CREATE nonsense;")])
        with pytest.raises(StateError, match="nonsense"):
            Database(tmp_path / "kyanite.db")
        connection = sqlite3.connect(tmp_path / "kyanite.db")
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        connection.close()

    def test_processes_that_open_a_new_workspace_together(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from kyanite.database import Database\n"
            "sys.stdin.readline()\n"
            "database = Database(Path(sys.argv[1]))\n"
            "print(database.query('PRAGMA user_version')[0][0], database.query('PRAGMA journal_mode')[0][0])"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "kyanite.db")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60) for process in processes]
        assert outputs == [(f"{_migrations()[-1][0]} wal\n", "")] * 4

    def test_threads_that_open_a_new_workspace_together(self, tmp_path):
        barrier = threading.Barrier(6)
        opened = []

        def open_it():
            barrier.wait()
            opened.append(Database(tmp_path / "kyanite.db"))

        threads = [threading.Thread(target=open_it) for _ in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(opened) == 6
        assert {database.query("SELECT count(*) FROM runs")[0][0] for database in opened} == {0}
        [database.close() for database in opened]

    @pytest.mark.parametrize(
        ("script", "count"),
        [
            ("", 0),
            ("SELECT 1", 1),
            ("SELECT 1; SELECT 2;", 2),
            ("-- a; comment\nSELECT 1; -- and; another\n", 2),
            ("SELECT ';--'; SELECT 2;", 2),
            ("CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END; SELECT 1;", 2),
        ],
    )
    def test_scripts_are_split_at_the_ends_of_statements(self, script, count):
        assert len(_split(script)) == count
        assert "".join(_split(script)).replace(" ", "") == script.replace(" ", "").strip()

    def test_named_statements(self):
        statements = named_statements("kyanite.runs", "queries.sql")
        assert statements["delete_run"] == "DELETE FROM runs WHERE run_id = ?"
        assert all(statements.values())


class TestPlace:
    @pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs"])
    def test_network_file_systems_are_refused(self, tmp_path, monkeypatch, kind):
        monkeypatch.setattr(place, "file_system", lambda path: kind)
        with pytest.raises(StateError, match=rf"network file system \({kind}\).*--home"):
            Database(tmp_path / "kyanite.db")
        assert list(tmp_path.iterdir()) == []

    def test_the_innermost_and_last_mount_counts(self, tmp_path):
        mounts = tmp_path / "mounts"
        folder = str(tmp_path / "my home").replace(" ", "\\040")
        mounts.write_text(
            f"a / ext4 rw 0 0\nb {folder} ext4 rw 0 0\nc {folder} nfs4 rw 0 0\nd {folder}/inner xfs rw 0 0\n"
            f"e {folder}2 cifs rw 0 0\n"
        )
        assert place.file_system(tmp_path / "other", mounts) == "ext4"
        assert place.file_system(tmp_path / "my home" / "kyanite.db", mounts) == "nfs4"
        assert place.file_system(tmp_path / "my home" / "inner" / "kyanite.db", mounts) == "xfs"
        assert place.file_system(tmp_path, tmp_path / "nothing") is None

    def test_this_machine_can_be_read(self, tmp_path):
        assert place.file_system(tmp_path) is not None


WRITER = """
import sys
from pathlib import Path
from kyanite.database import Database
from kyanite.errors import StateError
database = Database(Path(sys.argv[1]))
database.execute("CREATE TABLE IF NOT EXISTS things (name TEXT)")
for number in range(5):
    try:
        database.execute("INSERT INTO things VALUES (?)", (number,))
    except StateError as error:
        print(error.error_code, error)
database.close()
"""


class TestPlannedFailures:
    """Commits of WRITER on a new workspace: 1 the schema, 2 the table, 3 to 7 the rows."""

    def rows(self, path):
        connection = sqlite3.connect(path)
        found = [int(name) for (name,) in connection.execute("SELECT name FROM things ORDER BY rowid")]
        connection.close()
        return found

    @pytest.mark.parametrize(("fault", "kept"), [("kill-before-commit:5", [0, 1]), ("kill-after-commit:5", [0, 1, 2])])
    def test_killed_at_a_commit(self, tmp_path, fault, kept):
        assert run(WRITER, tmp_path / "kyanite.db", KYANITE_FAULT=fault).returncode == -9
        assert self.rows(tmp_path / "kyanite.db") == kept

    def test_a_full_disk_at_a_commit(self, tmp_path):
        result = run(WRITER, tmp_path / "kyanite.db", KYANITE_FAULT="disk-full:4")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("DiskFull")
        assert self.rows(tmp_path / "kyanite.db") == [0, 2, 3, 4]

    def test_commits_are_counted(self, tmp_path):
        run(WRITER, tmp_path / "kyanite.db", KYANITE_FAULT=f"count:{tmp_path / 'count'}")
        assert (tmp_path / "count").read_text() == "7\n"
        run(
            WRITER.replace("database.close()", ""), tmp_path / "kyanite.db", KYANITE_FAULT=f"count:{tmp_path / 'count'}"
        )
        assert (tmp_path / "count").read_text() == "6\n"

    @pytest.mark.parametrize("fault", ["kill", "kill-after-commit:", "disk-full:x", "count:", "other:1"])
    def test_a_wrong_plan_is_told(self, tmp_path, fault):
        from kyanite.database.faults import planned

        with pytest.raises(UserError, match="KYANITE_FAULT"):
            planned({"KYANITE_FAULT": fault})
