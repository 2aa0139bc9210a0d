"""The embedded storage account on disk: keys, modes, links, full disks, what killed processes leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import StorageError, UserError
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts, file_set, staging


@pytest.fixture
def accounts(tmp_path):
    return StorageAccounts(tmp_path / "storage", Vault())


@pytest.fixture
def account(accounts):
    account = accounts.create("boxes")
    account.create_container("box")
    return account


def put(account, path, data=b"data"):
    with account.open_write("box", path) as out:
        out.write(data)
        out.commit()


def tree(account):
    paths = (p.relative_to(account.folder) for p in account.folder.rglob("*"))
    return sorted(str(p) for p in paths if p.parts[0] not in (".locks", ".properties"))


def code_of(action):
    with pytest.raises(StorageError) as caught:
        action()
    return caught.value.error_code


def test_create_is_idempotent_and_lists_names(accounts):
    first = accounts.create("boxes")
    again = accounts.create("boxes")
    assert first.keys == again.keys and first.keys[0] != first.keys[1]
    assert again.created == first.created and again.hierarchical
    assert accounts.names() == ["boxes"] and accounts.get("other") is None and accounts.get("../x") is None
    assert accounts.create("boxes", hierarchical=False).hierarchical
    assert not accounts.create("flat", hierarchical=False).hierarchical


@pytest.mark.parametrize("name", ["ab", "A" * 5, "has-hyphen", "x" * 25, "..", "a/b", "", "abc\n"])
def test_account_names(accounts, name):
    with pytest.raises(UserError):
        accounts.create(name)


def test_keys(account):
    key1, key2 = account.keys
    assert account.check_key(key1) and account.check_key(key2)
    assert not account.check_key("") and not account.check_key(key1[:-1]) and not account.check_key("\ud800ü")
    assert key1 not in repr(account)


def test_modes(account):
    put(account, "a/b")
    assert all(modes.S_IMODE(p.lstat().st_mode) == (0o700 if p.is_dir() else 0o600) for p in account.folder.rglob("*"))
    assert modes.S_IMODE(account.folder.stat().st_mode) == 0o700


def test_symbolic_links_are_refused(account, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    box = account.folder / "box"
    (box / "folder").symlink_to(outside)
    (box / "file").symlink_to(outside / "secret")
    assert code_of(lambda: account.open_read("box", "folder/secret")) == "LinkRefused"
    assert code_of(lambda: account.open_read("box", "file")) == "LinkRefused"
    assert code_of(lambda: list(account.list("box", "folder"))) == "LinkRefused"
    assert code_of(lambda: put(account, "folder/new")) == "LinkRefused"
    assert account.stat("box", "file") is None and list(account.list("box")) == []
    put(account, "file", b"replaces the link itself")
    account.delete("box", "folder", recursive=True)
    assert [p.name for p in outside.iterdir()] == ["secret"] and (outside / "secret").read_bytes() == b"s"
    assert tree(account) == [".account.json", ".staging", "box", "box/file"]


def test_hard_links_pipes_and_containers_that_are_links_are_refused(account, tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    os.link(tmp_path / "secret", account.folder / "box/hard")
    os.mkfifo(account.folder / "box/pipe")
    (account.folder / "linked").symlink_to(tmp_path)
    assert code_of(lambda: account.open_read("box", "hard")) == "LinkRefused"
    assert code_of(lambda: account.open_read("box", "pipe")) == "LinkRefused"
    assert code_of(lambda: account.open_read("linked", "secret")) == "LinkRefused"
    put(account, "hard", b"new")
    assert (tmp_path / "secret").read_bytes() == b"s"


def test_rename_is_for_files_and_folders(account):
    put(account, "a/x", b"1")
    put(account, "b", b"2")
    account.rename("box", "a/x", "b")
    with account.open_read("box", "b") as file:
        assert file.read() == b"1"
    account.rename("box", "a", "deep/er/a")
    assert account.stat("box", "deep/er/a").is_folder
    assert code_of(lambda: account.rename("box", "none", "c")) == "BlobNotFound"
    assert code_of(lambda: account.rename("box", "deep", "deep/er/x")) == "InvalidUri"
    put(account, "full/x")
    assert code_of(lambda: account.rename("box", "deep", "full")) == "DirectoryNotEmpty"
    assert code_of(lambda: account.rename("box", "b", "full")) == "PathConflict"


def test_delete_of_a_filled_folder_needs_recursive(account):
    put(account, "a/x")
    assert code_of(lambda: account.delete("box", "a")) == "DirectoryNotEmpty"
    account.delete("box", "a", recursive=True)
    account.delete_container("box")
    assert account.containers() == []


def test_folder_and_file_in_each_others_way(account):
    account.make_folder("box", "a/b")
    assert code_of(lambda: put(account, "a")) == "PathConflict"
    put(account, "f")
    assert code_of(lambda: put(account, "f/g")) == "PathConflict"
    assert code_of(lambda: account.make_folder("box", "f/g")) == "PathConflict"
    assert code_of(lambda: account.open_read("box", "a")) == "PathConflict"
    assert tree(account) == [".account.json", ".staging", "box", "box/a", "box/a/b", "box/f"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(account, monkeypatch, call, number):
    put(account, "a", b"old")
    before = tree(account)
    real = getattr(os, call)

    def fail(*arguments, **options):
        if call == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **options)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError) as caught, account.open_write("box", "a") as out:
        out.write(b"x" * 3_000_000)
        out.commit()
    monkeypatch.setattr(os, call, real)
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert caught.value.error_code == ("DiskFull" if full else "ReadOnly" if number == errno.EROFS else "StorageError")
    assert "boxes/box/a" in str(caught.value) and bool(caught.value.cure) is (number != errno.EIO)
    assert tree(account) == before
    with account.open_read("box", "a") as file:
        assert file.read() == b"old"


def test_a_short_write_is_continued(account, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:100_000])))
    put(account, "a", bytes(range(256)) * 8000)
    monkeypatch.undo()
    with account.open_read("box", "a") as file:
        assert file.read() == bytes(range(256)) * 8000


LEAVE = """
import os, sys
from pathlib import Path
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts
account = StorageAccounts(Path(sys.argv[1]), Vault()).get("boxes")
out = account.open_write("box", "a"); out.write(b"x" * 2_000_000)
files = account.open_set("box", "out", lambda name: True); files.open("part-0").write(b"y")
os._exit(9)
"""


def test_leavings_of_a_dead_process_are_removed_and_of_a_living_one_kept(account, tmp_path):
    ours = account.open_write("box", "ours")
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path / "storage")], check=False)
    left = list((account.folder / ".staging").iterdir())
    assert len(left) == 3
    fresh = StorageAccounts(tmp_path / "storage", Vault()).get("boxes")
    with fresh.open_write("box", "b") as out:
        out.commit()
    assert len(list((account.folder / ".staging").iterdir())) == 1
    ours.commit()
    assert tree(account) == [".account.json", ".staging", "box", "box/b", "box/ours"]


def test_leavings_of_another_machine_are_kept_for_a_day(account):
    foreign = account.folder / ".staging" / "00000000-1-1-abc"
    foreign.write_bytes(b"")
    assert account.sweep() == 0
    os.utime(foreign, (1, 1))
    assert account.sweep() == 1


def test_a_process_id_used_again_is_not_the_owner(account):
    machine, pid, start, rest = staging.new_name().split("-")
    (account.folder / ".staging" / f"{machine}-{pid}-{int(start) + 1}-{rest}").write_bytes(b"")
    assert account.sweep() == 1


def test_exchange_without_the_system_call(tmp_path, monkeypatch):
    monkeypatch.setattr(file_set, "_renameat2", lambda: None)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in {name}").touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    file_set.exchange(fd, "one", fd, "two")
    os.close(fd)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "one",
        "one/in two",
        "two",
        "two/in one",
    ]


KILLED = """
import os, sys
from pathlib import Path
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts
account = StorageAccounts(Path(sys.argv[1]), Vault()).get("boxes")
stop, calls = int(sys.argv[2]), 0
def counted(real):
    def call(*a, **k):
        global calls
        calls += 1
        if calls == stop: os._exit(9)
        return real(*a, **k)
    return call
for name in ("fsync", "rename", "mkdir", "chmod", "unlink", "rmdir"): setattr(os, name, counted(getattr(os, name)))
import kyanite.storage.file_set as file_set
file_set.exchange = counted(file_set.exchange)
with account.open_set("box", "out", lambda name: name.startswith("part-")) as files:
    for n in range(3):
        with files.open(f"part-{n}") as out:
            out.write(b"new"); out.commit()
    files.commit()
"""


def test_a_set_killed_at_every_step_shows_the_old_or_the_new_set(account, tmp_path):
    seen = set()
    for stop in range(1, 40):
        account.delete("box", "out", recursive=True) if account.stat("box", "out") else None
        put(account, "out/part-0", b"old")
        put(account, "out/part-7", b"old")
        ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "storage"), str(stop)], check=False)
        shown = {e.name: (account.folder / "box" / e.path).read_bytes() for e in account.list("box", "out")}
        assert shown in (
            {"part-0": b"old", "part-7": b"old"},
            {"part-0": b"new", "part-1": b"new", "part-2": b"new"},
        )
        seen.add(len(shown))
        if ended.returncode == 0:
            break
    assert ended.returncode == 0 and seen == {2, 3}
    account.sweep()
    assert list((account.folder / ".staging").iterdir()) == []


def test_a_file_that_comes_in_just_before_the_exchange_is_kept(account, monkeypatch):
    put(account, "out/part-0", b"old")
    real = file_set.exchange

    def late(*arguments):
        put(account, "out/late.txt", b"somebody's")
        real(*arguments)

    monkeypatch.setattr(file_set, "exchange", late)
    with account.open_set("box", "out", lambda name: name.startswith("part-")) as files:
        with files.open("part-1") as out:
            out.commit()
        files.commit()
    assert [e.path for e in account.list("box")] == ["out/late.txt", "out/part-1"]


hostile = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "box", ".staging", ".account.json", "link", "\0", "\\..", "%2e%2e", "~", "é" * 90]
    ),
    min_size=1,
    max_size=7,
).map("/".join)


@given(hostile, hostile)
def test_no_path_gets_out_of_its_container(tmp_path_factory, container, path):
    home = tmp_path_factory.mktemp("home")
    (home / "outside").mkdir()
    account = StorageAccounts(home / "storage", Vault()).create("boxes")
    account.create_container("box")
    (account.folder / "box/link").symlink_to(home / "outside")
    for name in (container, "box"):
        for action in (
            lambda name=name: account.create_container(name),
            lambda name=name: account.make_folder(name, path),
            lambda name=name: account.open_write(name, path).commit(),
            lambda name=name: account.rename(name, path, "moved"),
        ):
            with contextlib.suppress(UserError, StorageError):
                action()
    assert sorted(p.name for p in home.iterdir()) == ["outside", "storage"]
    assert list((home / "outside").iterdir()) == []
    assert [p.name for p in (home / "storage").iterdir()] == ["boxes"]
    assert {p.name for p in account.folder.iterdir()} - {"link"} - {".locks", ".properties"} == {
        ".account.json",
        ".staging",
        "box",
    }
    assert list((account.folder / ".staging").iterdir()) == []


def test_a_damaged_description_is_named(account, accounts):
    (account.folder / ".account.json").write_text("{")
    assert code_of(lambda: accounts.get("boxes")) == "StorageError"
