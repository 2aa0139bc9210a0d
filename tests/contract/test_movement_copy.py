"""Copies between accounts of a workspace, with real parquet files."""

from __future__ import annotations

import io
import itertools
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.connections.embedded import EmbeddedConnection
from kyanite.errors import ActivityError, StorageError
from kyanite.movement import CopyRequest, Dataset, copy
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts


@pytest.fixture
def store(tmp_path):
    account = StorageAccounts(tmp_path / "storage", Vault()).create("boxes")
    account.create_container("box")
    return EmbeddedConnection(account)


def put(store, path, data):
    with store.open_write(path) as out:
        out.write(data)
        out.commit()


def read(store, path):
    with store.open_read(path) as file:
        return file.read()


def parquet(numbers, **options):
    out = io.BytesIO()
    table = pa.table({"n": pa.array(list(numbers), pa.int64()), "t": [f"row {n}" for n in numbers]})
    pq.write_table(table, out, **{"row_group_size": 40, **options})
    return out.getvalue()


def numbers(store, path):
    with store.open_read(path) as file:
        return pq.read_table(file).column("n").to_pylist()


def dataset(name, kind, folder, file, **more):
    location = {"type": "AzureBlobStorageLocation", "container": "box", "folderPath": folder, "fileName": file}
    return Dataset(name, kind, {"location": location, **more}, "AzureBlobStorage")


def request(store, source=None, sink=None, kind="Parquet", into=("source", "NewFile.parq"), sink_store=None, **more):
    """The seed's Copy unless told otherwise."""
    read_settings = {"recursive": True, "wildcardFolderPath": "input", "wildcardFileName": "*.parq"}
    return CopyRequest(
        dataset("SourceParquet", kind, "input", "NewFile.parq"),
        dataset("TargetParquet", kind, *into, **more.pop("sink_dataset", {})),
        {
            "source": {"type": f"{kind}Source", "storeSettings": read_settings if source is None else source},
            "sink": {"type": f"{kind}Sink", "storeSettings": {"copyBehavior": "MergeFiles"} if sink is None else sink},
            "enableStaging": False,
            **more,
        },
        store,
        sink_store or store,
        "11111111-2222-3333-4444-555555555555",
    )


def failure(action):
    with pytest.raises(ActivityError) as caught:
        action()
    assert caught.value.error_code == "2200"
    return str(caught.value)


def leavings(store):
    return list((store.account.folder / ".staging").iterdir())


PLAIN: dict = {}
SEED_INPUTS = {"input/b.parq": range(100, 150), "input/a.parq": range(100), "input/sub/c.parq": range(150, 200)}


@pytest.fixture
def seeded(store):
    for path, rows in SEED_INPUTS.items():
        put(store, f"box/{path}", parquet(rows))
    put(store, "box/input/notes.txt", b"no parquet")
    return store


def test_the_seeds_copy_merges_in_path_order(seeded):
    progress = []
    start = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
    output = copy(request(seeded), progress=progress.append, clock=lambda: start)
    assert numbers(seeded, "box/source/NewFile.parq") == list(range(200))
    written = seeded.stat("box/source/NewFile.parq").size
    sizes = sum(seeded.stat(f"box/{path}").size for path in SEED_INPUTS)
    throughput = output.pop("throughput")
    assert throughput > 0 and isinstance(throughput, float)
    assert output == {
        "dataRead": sizes,
        "dataWritten": written,
        "filesRead": 3,
        "filesWritten": 1,
        "sourcePeakConnections": 1,
        "sinkPeakConnections": 1,
        "rowsRead": 200,
        "rowsCopied": 200,
        "copyDuration": 1,
        "errors": [],
        "effectiveIntegrationRuntime": "DefaultIntegrationRuntime (local)",
        "usedDataIntegrationUnits": 4,
        "billingReference": {
            "activityType": "DataMovement",
            "billableDuration": [{"meterType": "AzureIR", "duration": 4 / 60, "unit": "DIUHours"}],
        },
        "usedParallelCopies": 1,
        "executionDetails": [
            {
                "source": {"type": "AzureBlobStorage"},
                "sink": {"type": "AzureBlobStorage"},
                "status": "Succeeded",
                "start": "2026-01-02T03:04:05.000678Z",
                "duration": 1,
                "usedDataIntegrationUnits": 4,
                "usedParallelCopies": 1,
                "profile": {
                    "queue": {"status": "Completed", "duration": 0},
                    "transfer": {
                        "status": "Completed",
                        "duration": 1,
                        "details": {
                            "listingSource": {"type": "AzureBlobStorage", "workingDuration": 1},
                            "readingFromSource": {"type": "AzureBlobStorage", "workingDuration": 1},
                            "writingToSink": {"type": "AzureBlobStorage", "workingDuration": 1},
                        },
                    },
                },
                "detailedDurations": {"queuingDuration": 0, "transferDuration": 1},
            }
        ],
        "dataConsistencyVerification": {"VerificationResult": "Verified", "InconsistentData": "None"},
        "durationInQueue": {"integrationRuntimeQueue": 0},
        "mergedFiles": ["box/input/a.parq", "box/input/b.parq", "box/input/sub/c.parq"],
    }
    assert progress and {p["executionDetails"][0]["status"] for p in progress} == {"InProgress"}
    counted = [p["rowsCopied"] for p in progress]
    assert counted == sorted(counted) and counted[-1] == 200
    assert leavings(seeded) == []


def test_merge_replaces_and_may_read_its_own_target(seeded):
    copy(request(seeded))
    output = copy(request(seeded, into=("input", "a.parq")))
    assert output["rowsCopied"] == 200 and numbers(seeded, "box/input/a.parq") == list(range(200))


def test_preserve_and_flatten(seeded):
    output = copy(request(seeded, sink=PLAIN, into=("kept", "")))
    assert [e.path for e in seeded.list("box/kept")] == ["box/kept/a.parq", "box/kept/b.parq", "box/kept/sub/c.parq"]
    assert (output["filesRead"], output["filesWritten"], output["rowsCopied"]) == (3, 3, 200)
    assert "mergedFiles" not in output and numbers(seeded, "box/kept/sub/c.parq") == list(range(150, 200))
    copy(request(seeded, sink={"copyBehavior": "FlattenHierarchy"}, into=("flat", "")))
    flat = [e.path for e in seeded.list("box/flat")]
    assert len(flat) == 3 and sorted(itertools.chain(*(numbers(seeded, p) for p in flat))) == list(range(200))


def test_binary_merge_is_concatenation_without_rows(store):
    put(store, "box/input/b", b"world")
    put(store, "box/input/a", b"hello ")
    output = copy(request(store, {"wildcardFileName": "*"}, kind="Binary", validateDataConsistency=True))
    assert read(store, "box/source/NewFile.parq") == b"hello world"
    assert "rowsRead" not in output and "rowsCopied" not in output and output["dataWritten"] == 11
    assert output["dataConsistencyVerification"]["VerificationResult"] == "Verified"
    output = copy(request(store, {"wildcardFileName": "a"}, PLAIN, kind="Binary"))
    assert read(store, "box/source/NewFile.parq") == b"hello "
    assert output["dataConsistencyVerification"] == {"VerificationResult": "NotVerified"}


def test_a_wildcard_that_matches_nothing_fails_and_writes_nothing(seeded):
    put(seeded, "box/source/NewFile.parq", b"old")
    message = failure(lambda: copy(request(seeded, {"wildcardFolderPath": "input", "wildcardFileName": "*.orc"})))
    assert "UserErrorSourceBlobNotExist" in message and "box/input" in message and "4 other files are there" in message
    assert read(seeded, "box/source/NewFile.parq") == b"old"


def test_no_file_changed_in_a_period_is_a_success_that_writes_nothing(seeded):
    put(seeded, "box/source/NewFile.parq", b"old")
    settings = {"wildcardFolderPath": "input", "wildcardFileName": "*", "modifiedDatetimeEnd": "2001-01-01"}
    output = copy(request(seeded, settings))
    assert (output["filesRead"], output["filesWritten"], output["rowsRead"], output["dataRead"]) == (0, 0, 0, 0)
    assert read(seeded, "box/source/NewFile.parq") == b"old"
    put(seeded, "box/input/NewFile.parq", parquet(range(3)))
    for period, files in (({"modifiedDatetimeEnd": "2001-01-01"}, 0), ({"modifiedDatetimeStart": "2001-01-01"}, 1)):
        assert copy(request(seeded, period, PLAIN))["filesRead"] == files


@pytest.mark.parametrize(
    "source", [PLAIN, {"wildcardFolderPath": "nowhere/x*", "wildcardFileName": "*"}, {"prefix": "nowhere/x"}]
)
def test_missing_sources_are_named(seeded, source):
    message = failure(lambda: copy(request(seeded, source)))
    assert message.startswith("Failure happened on 'Source' side. ErrorCode=UserErrorSourceBlobNotExist,'Type=")
    assert ("box/nowhere" if source else "box/input/NewFile.parq") in message


def test_missing_containers_are_named(seeded):
    no_source = request(seeded)
    no_source.source.type_properties["location"]["container"] = "nobox"
    assert "no container `nobox`" in failure(lambda: copy(no_source))
    no_sink = request(seeded)
    no_sink.sink.type_properties["location"]["container"] = "nobox"
    message = failure(lambda: copy(no_sink))
    assert message.startswith("Failure happened on 'Sink' side. ErrorCode=ContainerNotFound,")


def damaged(data):
    yield "empty", b""
    yield "no parquet", b"x" * 200
    yield "cut", data[: len(data) // 2]
    length = int.from_bytes(data[-8:-4], "little")
    yield "footer", data[: -8 - length] + b"\xff" * 40 + data[40 - 8 - length :]
    yield "one byte short", data[:100] + data[101:]


@pytest.mark.parametrize("kind", ["empty", "no parquet", "cut", "footer", "one byte short"])
def test_a_corrupt_file_is_named_and_the_target_untouched(seeded, kind):
    put(seeded, "box/source/NewFile.parq", b"old")
    put(seeded, "box/input/bad.parq", dict(damaged(parquet(range(50))))[kind])
    message = failure(lambda: copy(request(seeded)))
    assert message.startswith("Failure happened on 'Source' side. ErrorCode=UserErrorInvalidData,")
    assert "https://boxes.blob.core.windows.net/box/input/bad.parq" in message
    assert read(seeded, "box/source/NewFile.parq") == b"old" and leavings(seeded) == []


def test_several_sources_to_one_name(seeded):
    message = failure(lambda: copy(request(seeded, sink=PLAIN)))
    assert "Failure happened on 'Sink' side" in message and "MergeFiles" in message
    assert seeded.stat("box/source") is None


def test_kinds_that_do_not_fit(seeded):
    for kind, text in (("DelimitedText", "`DelimitedText`"), ("Json", "Supported are Binary, Parquet")):
        message = failure(lambda kind=kind: copy(request(seeded, kind=kind)))
        assert message.startswith("ErrorCode=NotSupported,") and text in message
    mixed = request(seeded)
    object.__setattr__(mixed, "sink", dataset("TargetBinary", "Binary", "out", ""))
    assert "Binary copies any file as it is" in failure(lambda: copy(mixed))
    for more in ({"compressionCodec": "lzo"}, {"compressionCodec": {"type": "Expression"}}):
        assert "`compressionCodec`" in failure(lambda more=more: copy(request(seeded, sink_dataset=more)))
    assert "`enableStaging`" in failure(lambda: copy(request(seeded, enableStaging=True)))


def test_columns_that_differ_are_mapped_by_name(seeded):
    out = io.BytesIO()
    pq.write_table(pa.table({"n": [1000]}), out)
    put(seeded, "box/input/z.parq", out.getvalue())
    assert copy(request(seeded))["rowsCopied"] == 201
    with seeded.open_read("box/source/NewFile.parq") as file:
        assert pq.read_table(file).column("t").to_pylist()[-1] is None


def codecs(store, path):
    with store.open_read(path) as file:
        meta = pq.read_metadata(file)
    return {meta.row_group(g).column(c).compression for g in range(meta.num_row_groups) for c in range(2)}


@pytest.mark.parametrize(
    ("codec", "stored"),
    [(None, "ZSTD"), ("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("GZIP", "GZIP"), ("none", "UNCOMPRESSED")],
)
def test_the_sinks_codec_is_written(store, codec, stored):
    put(store, "box/input/a.parq", parquet(range(100), compression="zstd"))
    put(store, "box/input/b.parq", parquet(range(100, 130), compression="zstd"))
    output = copy(request(store, sink_dataset={"compressionCodec": codec}))
    assert numbers(store, "box/source/NewFile.parq") == list(range(130)) and output["rowsCopied"] == 130
    assert codecs(store, "box/source/NewFile.parq") == {stored}


def test_cancelled_in_the_middle(seeded):
    put(seeded, "box/source/NewFile.parq", b"old")
    for limit in range(30):
        calls = itertools.count()
        try:
            copy(request(seeded), cancelled=lambda calls=calls, limit=limit: next(calls) >= limit)
        except ActivityError as problem:
            assert problem.error_code == "Cancelled"
            assert read(seeded, "box/source/NewFile.parq") == b"old" and leavings(seeded) == []
        else:
            break
    assert limit > 5 and numbers(seeded, "box/source/NewFile.parq") == list(range(200))


class Failing:
    """A connection whose n-th call fails, counted over its own methods and those of the files it opens."""

    def __init__(self, inner, fail_at, code):
        self.inner, self.fail_at, self.code, self.calls = inner, fail_at, code, 0

    def count(self):
        self.calls += 1
        if self.calls == self.fail_at:
            raise StorageError("it broke", where="the store", code=self.code)

    def __getattr__(self, name):
        value = getattr(self.inner, name)
        if not callable(value) or name == "url":
            return value

        def call(*arguments, **options):
            self.count()
            result = value(*arguments, **options)
            return FailingFile(result, self) if name in ("open_read", "open_write") else result

        return call


class FailingFile:
    def __init__(self, file, owner):
        self._file, self._owner = file, owner

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return self._file.__exit__(*raised)

    def __getattr__(self, name):
        value = getattr(self._file, name)
        if name not in ("read", "write", "commit", "read_back"):
            return value

        def call(*arguments):
            self._owner.count()
            return value(*arguments)

        return call


@pytest.mark.parametrize("kind", ["Parquet", "Binary"])
@pytest.mark.parametrize("side", ["Source", "Sink"])
def test_a_store_that_fails_at_every_call(seeded, kind, side):
    old = parquet([7])
    new = None
    put(seeded, "box/source/NewFile.parq", old)
    for fail_at in range(1, 200):
        failing = Failing(seeded, fail_at, "Unreachable")
        stores = (failing, seeded) if side == "Source" else (seeded, failing)
        try:
            copy(request(stores[0], kind=kind, sink_store=stores[1]))
        except ActivityError as problem:
            assert problem.error_code == "2200" and problem.failure_type == "SystemError"
            assert re.match(rf"Failure happened on '{side}' side. ErrorCode=Unreachable,", str(problem))
        else:
            break
        finally:
            shown = read(seeded, "box/source/NewFile.parq")
            assert leavings(seeded) == []
        if shown != old:
            # only a failure of the look at the committed file comes after the commit
            new = new or shown
            assert side == "Sink" and shown == new
    assert fail_at > 5 and failing.calls < fail_at
    if kind == "Parquet":
        assert numbers(seeded, "box/source/NewFile.parq") == list(range(200))


def test_a_sink_that_loses_rows_fails_before_the_commit(seeded, monkeypatch):
    import kyanite.movement.formats.parquet as parquet_format

    real = parquet_format.merge

    def lossy(sources, out, **options):
        return real(sources[:-1], out, **options)

    monkeypatch.setattr(parquet_format, "merge", lossy)
    put(seeded, "box/source/NewFile.parq", b"old")
    message = failure(lambda: copy(request(seeded)))
    assert "ErrorCode=UserErrorDataInconsistency" in message and "200 rows were read, 150 written" in message
    assert read(seeded, "box/source/NewFile.parq") == b"old" and leavings(seeded) == []


def test_a_full_disk_says_so(seeded, monkeypatch):
    import errno
    import os

    put(seeded, "box/source/NewFile.parq", b"old")

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    message = failure(lambda: copy(request(seeded)))
    monkeypatch.undo()
    assert message.startswith("Failure happened on 'Sink' side. ErrorCode=DiskFull,") and "Free some space" in message
    assert read(seeded, "box/source/NewFile.parq") == b"old" and leavings(seeded) == []


def test_copy_to_and_from_an_object_store(seeded):
    from obstore.store import MemoryStore

    from kyanite.connections.object_store import ObjectStoreConnection

    memory = MemoryStore()
    far = ObjectStoreConnection("AzureBlobStorage", "https://far.blob.core.windows.net", lambda name: memory)
    assert copy(request(seeded, sink_store=far))["rowsCopied"] == 200
    assert copy(request(far, {"wildcardFolderPath": "source", "wildcardFileName": "*"}, sink_store=seeded))
    assert numbers(seeded, "box/source/NewFile.parq") == list(range(200))
