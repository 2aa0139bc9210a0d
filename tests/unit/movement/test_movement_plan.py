from __future__ import annotations

import pytest

from kyanite.errors import DefinitionError, UnsupportedError, UserError
from kyanite.movement.copy_plan import FLATTEN, MERGE, PRESERVE, plan_copy, read_behaviour
from kyanite.movement.location import Location
from kyanite.movement.options import read_options
from kyanite.movement.part_names import NAME_TEMPLATE, PartNaming, parse_size
from kyanite.movement.select import SourceFile

TREE = ["Subfolder1/File5", "File2", "Subfolder1/File3", "File1", "Subfolder1/File4"]


def plan(behaviour, names=TREE, file="", extension: str | None = "parquet"):
    files = [SourceFile(f"box/in/{name}", 1, name) for name in names]
    actions = plan_copy(files, behaviour, Location("box", "out", file), activity_run_id="RUN", extension=extension)
    return {action.target: [s.relative for s in action.sources] for action in actions}


def test_preserve_keeps_the_tree():
    assert plan(PRESERVE) == {f"box/out/{name}": [name] for name in sorted(TREE)}


def test_flatten_generates_names_that_stay_the_same_when_repeated():
    targets = plan(FLATTEN)
    assert [s for [s] in targets.values()] == sorted(TREE) and targets == plan(FLATTEN)
    assert all(t.startswith("box/out/Data.RUN.") and t.endswith(".parquet") for t in targets)
    assert [t.rpartition(".")[2] for t in plan(FLATTEN, ["a.csv", "b", ".c", "d."], extension=None)] == [
        "bin",
        "csv",
        "bin",
        "bin",
    ]


def test_merge_orders_by_full_path():
    assert plan(MERGE, file="All.parq") == {"box/out/All.parq": sorted(TREE)}
    assert list(plan(MERGE)) == ["box/out/Data.RUN.parquet"]


def test_one_source_may_take_the_sinks_name():
    assert plan(PRESERVE, ["a"], "b") == plan(FLATTEN, ["a"], "b") == {"box/out/b": ["a"]}


@pytest.mark.parametrize("behaviour", [PRESERVE, FLATTEN])
def test_several_sources_to_one_name_are_refused(behaviour):
    with pytest.raises(UserError, match=r"5 source files.*MergeFiles"):
        plan(behaviour, file="b")


def test_nothing_selected_writes_nothing():
    assert plan(MERGE, [], "b") == plan(PRESERVE, []) == {}


def test_behaviour_names():
    assert read_behaviour("") == PRESERVE and read_behaviour("mergefiles") == MERGE
    with pytest.raises(UnsupportedError, match="PreserveHierarchy, FlattenHierarchy, MergeFiles"):
        read_behaviour("AppendFiles")


def properties(source=None, sink=None, **more):
    return {
        "source": {"type": "ParquetSource", **(source or {})},
        "sink": {"type": "ParquetSink", **(sink or {})},
        **more,
    }


def test_harmless_options_are_accepted():
    options = read_options(
        properties(
            {"sourceRetryCount": 2, "storeSettings": {"recursive": True, "maxConcurrentConnections": 3}},
            {
                "storeSettings": {"copyBehavior": "mergefiles", "blockSizeInMB": 8},
                "formatSettings": {"fileNamePrefix": "x"},
            },
            parallelCopies=8,
            dataIntegrationUnits=16,
            enableStaging=False,
            preserve=[],
            skipErrorFile={"fileMissing": False},
            logSettings={"enableCopyActivityLog": False},
            validateDataConsistency=True,
            translator={
                "type": "TabularTranslator",
                "typeConversion": True,
                "typeConversionSettings": {"allowDataTruncation": True, "treatBooleanAsNumber": False},
            },
        )
    )
    assert (options.behaviour, options.units, options.check_consistency) == (MERGE, 16, True)
    assert read_options(properties()).units == 4


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("enableStaging", properties(enableStaging=True)),
        ("enableSkipIncompatibleRow", properties(enableSkipIncompatibleRow="True")),
        ("skipErrorFile.fileMissing", properties(skipErrorFile={"fileMissing": True})),
        ("preserve", properties(preserve=["Attributes"])),
        ("logSettings", properties(logSettings={"logLocationSettings": {}})),
        ("mappings", properties(translator={"type": "TabularTranslator", "mappings": [{"source": {}}]})),
        ("columnMappings", properties(translator={"type": "TabularTranslator", "columnMappings": "a: b"})),
        ("translator", properties(translator={"type": "Other"})),
        ("additionalColumns", properties({"additionalColumns": [{"name": "a", "value": "b"}]})),
        ("maxRowsPerFile", properties(None, {"formatSettings": {"maxRowsPerFile": 5}})),
        ("metadata", properties(None, {"storeSettings": {"metadata": [{"name": "a"}]}})),
        ("copyBehavior", properties(None, {"storeSettings": {"copyBehavior": "x"}})),
    ],
)
def test_options_that_change_the_result_are_refused_by_name(name, given):
    with pytest.raises(UnsupportedError, match=f"`{name}`"):
        read_options(given)


@pytest.mark.parametrize("given", [{}, {"source": {}}, {"source": [], "sink": {}}, properties(translator="x")])
def test_broken_options(given):
    with pytest.raises(DefinitionError):
        read_options(given)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100MB", 100_000_000),
        ("100MiB", 104_857_600),
        ("4194304B", 4_194_304),
        ("4194304", 4_194_304),
        (7, 7),
        (" 1.5 gb ", 1_500_000_000),
        ("0.001MB", 1000),
        ("0.3GB", 300_000_000),
        ("1k", 1000),
        ("2KiB", 2048),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "0", "0.1B", "-1MB", "1iB", "1PB", "1e6", "1,5MB", 0, -1, True, 1.5, None])
def test_refused_sizes(text):
    with pytest.raises(UserError):
        parse_size(text)


def test_part_names():
    naming = PartNaming("part", NAME_TEMPLATE)
    assert [naming.name(0), naming.name(123456)] == ["part-00000.parquet", "part-123456.parquet"]
    assert naming.matches("part-00007.parquet") and not naming.matches("part-x.parquet")
    assert not naming.matches("xpart-00007.parquet") and not naming.matches("part-1.parquet.bak")
    odd = PartNaming("a.b", "{{{index}}}_{prefix}.parq")
    assert odd.name(3) == "{3}_a.b.parq" and odd.matches("{3}_a.b.parq") and not odd.matches("{3}_aXb.parq")
    assert PartNaming("p", "{prefix}{index:04d}.parq").name(2) == "p0002.parq"


@pytest.mark.parametrize(
    "template",
    [
        "part",
        "{prefix}",
        "{index}{index}",
        "{index.__class__}",
        "{",
        "}{index}",
        "{0}",
        "{index!r}",
        "{index:>5}",
        "x/{index}",
        "{prefix:5}{index}",
        "{other}{index}",
    ],
)
def test_refused_templates(template):
    with pytest.raises(UserError):
        PartNaming("part", template)
