"""Splits from and to S3 buckets, as moto's server offers them, looked at with Amazon's own client."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kyanite.connections import object_store
from kyanite.connections.addresses import open_url
from kyanite.errors import ConflictError, NotFoundError
from kyanite.movement.split import split

MANIFEST = "_kyanite_split.json"
ROWS = 40_000
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def service():
    """The address of an S3 service."""
    program = Path(__file__).parent / "s3_program.py"
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


class Bucket:
    """A bucket, what is in it, and files put there."""

    def __init__(self, client, name):
        self.client, self.name, self.url = client, name, f"s3://{name}"
        client.create_bucket(Bucket=name)

    def put(self, key, rows, **options):
        table = pa.table({"n": rows, "t": [f"a text {n * 7919 % 10_007}" for n in rows]})
        file = io.BytesIO()
        pq.write_table(table, file, **{"row_group_size": 10_000, **options})
        self.client.put_object(Bucket=self.name, Key=key, Body=file.getvalue())
        return len(file.getvalue())

    def keys(self, folder=""):
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=folder).get("Contents", [])
        return {one["Key"]: one["Size"] for one in found}

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def numbers(self, folder):
        """Column `n` of the parts that the folder's manifest names."""
        manifest = json.loads(self.get(f"{folder}/{MANIFEST}"))
        base = "/".join(filter(None, [folder, manifest.get("folder")]))
        keys = [f"{base}/{part['name']}" for part in manifest["parts"]]
        assert {key: self.keys()[key] for key in keys} == dict(
            zip(keys, [part["bytes"] for part in manifest["parts"]], strict=True)
        )
        return [n for key in keys for n in pq.read_table(io.BytesIO(self.get(key))).column("n").to_pylist()]


@pytest.fixture
def bucket(service, monkeypatch):
    environment = {
        "AWS_ENDPOINT": service,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client(
        "s3", endpoint_url=service, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
    )
    yield Bucket(client, f"bucket-{next(NUMBERS)}")
    client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_of_objects_becomes_equal_ones(bucket, workers):
    bucket.put("in/2.parquet", range(ROWS, 2 * ROWS))
    size = bucket.put("in/1.parquet", range(ROWS))
    bucket.put("in/_old.parquet", range(7))
    bucket.put("in/.hidden/3.parquet", range(7))
    bucket.client.put_object(Bucket=bucket.name, Key="in/notes.txt", Body=b"no parquet")
    most = size * 2 // 5
    result = split(f"{bucket.url}/in/", f"{bucket.url}/out/", max_size=most, workers=workers, verify="deep")
    assert result.rows_out == 2 * ROWS
    assert len(result.parts) > 4
    assert bucket.numbers("out") == list(range(2 * ROWS))
    sizes = [part.bytes for part in result.parts]
    assert max(sizes) <= most
    assert max(sizes) < 1.1 * min(sizes)
    assert set(bucket.keys("out/")) == {f"out/{MANIFEST}", *(f"out/{part.name}" for part in result.parts)}


def test_only_the_ranges_that_are_needed_are_read(bucket, monkeypatch):
    size = bucket.put("in.parquet", range(900_000), compression="none", use_dictionary=False)
    ranges = []
    real = obstore.get

    def seen(store, path, *, options):
        ranges.append(options["range"])
        return real(store, path, options=options)

    monkeypatch.setattr(obstore, "get", seen)
    result = split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", max_size=size // 3, dry_run=True)
    assert result.rows_in == 900_000
    assert 0 < sum(end - start for start, end in ranges) < size / 2
    assert max(end for _, end in ranges) <= size


def test_large_parts_are_uploaded_in_pieces(bucket, monkeypatch):
    piece = 5 * 1024 * 1024  # S3 takes no smaller ones
    monkeypatch.setattr(object_store, "PART_BYTES", piece)
    bucket.put("in.parquet", range(900_000), compression="none", use_dictionary=False, row_group_size=150_000)
    result = split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", parts=2)
    assert bucket.numbers("out") == list(range(900_000))
    for part in result.parts:
        etag = bucket.client.head_object(Bucket=bucket.name, Key=f"out/{part.name}")["ETag"]
        assert etag.strip('"').rpartition("-")[2] == str(-(-part.bytes // piece))


def test_an_upload_that_is_given_up_was_never_there(bucket, monkeypatch):
    monkeypatch.setattr(object_store, "PART_BYTES", 5 * 1024 * 1024)
    bucket.put("kept.parquet", range(10))
    before = bucket.get("kept.parquet")
    connection, path = open_url(f"{bucket.url}/kept.parquet", None)
    for name in (path, path.replace("kept", "new")):
        with connection.open_write(name) as writer:
            for _ in range(12):
                writer.write(bytes(1024 * 1024))
        assert bucket.keys() == {"kept.parquet": len(before)}
    assert bucket.get("kept.parquet") == before


def test_an_older_set_is_replaced_only_when_that_is_wanted(bucket):
    size = bucket.put("in.parquet", range(ROWS))
    old = split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", max_size=size // 4)
    assert split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", max_size=size // 4).up_to_date
    bucket.put("in.parquet", range(ROWS // 2))
    before = {key: bucket.get(key) for key in bucket.keys("out/")}
    with pytest.raises(ConflictError):
        split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", max_size=size // 4)
    assert {key: bucket.get(key) for key in bucket.keys("out/")} == before
    new = split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", max_size=size // 4, overwrite=True)
    assert len(new.parts) < len(old.parts)
    assert bucket.numbers("out") == list(range(ROWS // 2))
    assert len(bucket.keys("out/")) == len(new.parts) + 1


def test_a_split_that_is_killed_shows_no_set_and_the_next_one_tidies(bucket):
    size = bucket.put("in.parquet", range(ROWS))
    program = (
        "import sys, time\n"
        "from kyanite.movement import split_writer\n"
        "from kyanite.movement.split import split\n"
        "real = split_writer.PartWriter._finish\n"
        "def slowly(self, *arguments):\n"
        "    real(self, *arguments)\n"
        "    time.sleep(0.5)\n"
        "split_writer.PartWriter._finish = slowly\n"
        "split(sys.argv[1], sys.argv[2], max_size=int(sys.argv[3]))\n"
    )
    arguments = [f"{bucket.url}/in.parquet", f"{bucket.url}/out", str(size // 20)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    end = time.monotonic() + 30
    while len(bucket.keys("out/")) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert len(bucket.keys("out/")) >= 3
    assert f"out/{MANIFEST}" not in bucket.keys("out/")
    split(f"{bucket.url}/in.parquet", f"{bucket.url}/out", parts=2)
    assert bucket.numbers("out") == list(range(ROWS))
    assert set(bucket.keys("out/")) == {f"out/{MANIFEST}", "out/part-00000.parquet", "out/part-00001.parquet"}


def test_a_bucket_or_folder_that_is_not_there(bucket, tmp_path):
    for place in (f"{bucket.url}/nothing/", f"{bucket.url}/no.parquet", "s3://no-such-bucket/in.parquet"):
        with pytest.raises(NotFoundError, match="s3://"):
            split(place, tmp_path / "out", parts=2)
    assert not (tmp_path / "out").exists()
