from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kyanite.errors import DefinitionError, UnsupportedError, UserError
from kyanite.movement.location import Location, read_location
from kyanite.movement.select import read_selection, read_time, select
from kyanite.storage.model import Entry

FILES = [
    "box/FolderA/File1.csv",
    "box/FolderA/File2.json",
    "box/FolderA/Subfolder1/File3.csv",
    "box/FolderA/Subfolder1/File4.json",
    "box/FolderA/Subfolder1/File5.csv",
    "box/FolderB/File6.csv",
    "box/Other/File7.csv",
    "box/root.csv",
    "box/x*/odd.csv",
]


def at(hour):
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def taken(settings, folder="", file="", files=FILES):
    selection = read_selection(Location("box", folder, file), settings)
    base = f"{selection.folder}/"
    listing = [Entry(p, 1, at(0)) for p in files if p.startswith(base)]
    if not selection.lists_recursively:
        listing = [e for e in listing if "/" not in e.path[len(base) :]]
    return {f.path.removeprefix("box/"): f.relative for f in select(listing, selection)}


def test_the_documented_table():
    settings = {"wildcardFolderPath": "Folder*", "wildcardFileName": "*.csv"}
    assert list(taken(settings)) == [
        "FolderA/File1.csv",
        "FolderA/Subfolder1/File3.csv",
        "FolderA/Subfolder1/File5.csv",
        "FolderB/File6.csv",
    ]
    assert list(taken({**settings, "recursive": False})) == ["FolderA/File1.csv", "FolderB/File6.csv"]
    named = {"wildcardFileName": "*"}
    assert list(taken({**named, "recursive": False}, "FolderA")) == ["FolderA/File1.csv", "FolderA/File2.json"]
    assert len(taken(named, "FolderA")) == 5


def test_relative_to_the_part_before_the_first_wildcard():
    assert taken({"wildcardFolderPath": "Folder*", "wildcardFileName": "File1.csv"}) == {
        "FolderA/File1.csv": "FolderA/File1.csv"
    }
    assert taken({"wildcardFolderPath": "/FolderA/", "wildcardFileName": "File3.csv"}) == {
        "FolderA/Subfolder1/File3.csv": "Subfolder1/File3.csv"
    }
    assert taken({"wildcardFolderPath": "FolderA/Sub*", "wildcardFileName": "File3*"}) == {
        "FolderA/Subfolder1/File3.csv": "Subfolder1/File3.csv"
    }


def test_wildcards_override_the_dataset():
    assert list(taken({"wildcardFolderPath": "Other", "wildcardFileName": "*"}, "FolderA", "File1.csv")) == [
        "Other/File7.csv"
    ]
    assert list(taken({"wildcardFileName": "*.json", "recursive": False}, "FolderA", "File1.csv")) == [
        "FolderA/File2.json"
    ]
    assert list(taken({"wildcardFolderPath": "Folder?"}, "Other", "File6.csv")) == ["FolderB/File6.csv"]
    assert list(taken({"wildcardFolderPath": "", "wildcardFileName": None}, "Other")) == ["Other/File7.csv"]


def test_case_and_escapes():
    assert taken({"wildcardFolderPath": "folder*", "wildcardFileName": "*"}) == {}
    assert list(taken({"wildcardFolderPath": "x^*", "wildcardFileName": "*"})) == ["x*/odd.csv"]


def test_prefix_gives_names_relative_to_its_last_folder():
    assert taken({"prefix": "FolderA/File"}, "Other") == {
        "FolderA/File1.csv": "File1.csv",
        "FolderA/File2.json": "File2.json",
    }
    assert taken({"prefix": "Folder"})["FolderA/Subfolder1/File3.csv"] == "FolderA/Subfolder1/File3.csv"
    assert "Other/File7.csv" not in taken({"prefix": "/Folder"})


def test_static():
    selection = read_selection(Location("box", "in", "a.parq"), {})
    assert (selection.file, selection.is_static) == ("box/in/a.parq", True)
    assert read_selection(Location("", "in", "a.parq"), {}).file == "in/a.parq"
    assert read_selection(Location("box", "", ""), {}).folder == "box"


def test_period_starts_inclusive_and_ends_exclusive():
    settings = {
        "wildcardFileName": "*",
        "modifiedDatetimeStart": "2026-01-01T01:00:00Z",
        "modifiedDatetimeEnd": "2026-01-01T03:00:00.0000000Z",
    }
    selection = read_selection(Location("box", "", ""), settings)
    listing = [Entry(f"box/{hour}", 1, at(hour)) for hour in range(5)]
    assert [f.relative for f in select(listing, selection)] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T06:07:08.1234567Z", datetime(2026, 1, 31, 6, 7, 8, 123456, tzinfo=UTC)),
        ("2026-01-31 06:07", datetime(2026, 1, 31, 6, 7, tzinfo=UTC)),
        ("2026-01-31T06:00:00+02:00", datetime(2026, 1, 31, 4, tzinfo=UTC)),
        ("2026-01-31T06:00:00-0130", datetime(2026, 1, 31, 7, 30, tzinfo=UTC)),
        ("", None),
    ],
)
def test_times(text, time):
    assert read_time({"t": text}, "t") == time


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+10:00", 7])
def test_refused_times(text):
    with pytest.raises(DefinitionError, match="`modifiedDatetimeEnd`"):
        read_selection(Location("box", "", ""), {"modifiedDatetimeEnd": text})


@pytest.mark.parametrize(
    "settings",
    [
        {"fileListPath": "box/list.txt"},
        {"fileFilter": "*.csv"},
        {"enablePartitionDiscovery": True},
        {"deleteFilesAfterCompletion": "true"},
        {"partitionRootPath": "box/in"},
    ],
)
def test_refused_by_name(settings):
    with pytest.raises(UnsupportedError, match=f"`{next(iter(settings))}`"):
        read_selection(Location("box", "", ""), settings)


def test_wrong_types_are_named():
    with pytest.raises(DefinitionError, match="`recursive`"):
        read_selection(Location("box", "", ""), {"recursive": "perhaps"})
    with pytest.raises(DefinitionError, match="`wildcardFileName`"):
        read_selection(Location("box", "", ""), {"wildcardFileName": 3})
    with pytest.raises(UserError):
        read_selection(Location("box", "", ""), {"wildcardFolderPath": "a/../b*", "wildcardFileName": "*"})


def test_locations():
    def read(**location):
        return read_location("D", {"location": location})

    assert read(type="AzureBlobStorageLocation", container="box", folderPath="/a//b/", fileName="c") == Location(
        "box", "a/b", "c"
    )
    assert read(type="AzureBlobFSLocation", fileSystem="box", folderPath=None).folder_path == "box"
    assert read(type="FileServerLocation", folderPath="a").folder_path == "a"
    for location in ({"type": "HttpServerLocation"}, {"type": "SftpLocation"}):
        with pytest.raises(UnsupportedError, match="AzureBlobStorageLocation"):
            read(**location)
    for location in (
        {"type": "AzureBlobStorageLocation"},
        {"type": "AzureBlobStorageLocation", "container": {"value": "x"}},
    ):
        with pytest.raises(DefinitionError, match="container"):
            read(**location)
    with pytest.raises(DefinitionError, match="no location"):
        read_location("D", {"folderPath": "legacy"})
