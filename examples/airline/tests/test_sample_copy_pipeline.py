"""The example's pipeline, tested without data, storage or a pool: `pytest examples/airline/tests`."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyanite.testing import Call, FactoryUnderTest, failed, hangs, load_factory, succeeded

FACTORY = Path(__file__).resolve().parent.parent / "factory"
PIPELINE = "SampleCopyPipeline"


@pytest.fixture(scope="module")
def factory() -> FactoryUnderTest:
    return load_factory(FACTORY)


def test_nothing_is_wrong_with_the_definitions(factory: FactoryUnderTest) -> None:
    assert [problem for problem in factory.problems() if problem.severity == "error"] == []


def test_the_copy_is_followed_by_the_split(factory: FactoryUnderTest) -> None:
    run = factory.run(
        PIPELINE,
        mocks={
            "CopyFile": succeeded({"filesRead": 3, "filesWritten": 1}, after="2m"),
            "SplitParquetInPython": succeeded({"exitcode": 0}, after="20s"),
        },
        now="2026-01-31T06:00:00Z",
    )
    run.assert_succeeded().assert_order("CopyFile", "SplitParquetInPython")
    assert run.activity("SplitParquetInPython").started_at.isoformat() == "2026-01-31T06:02:00+00:00"


def test_the_program_gets_account_folders_and_size(factory: FactoryUnderTest) -> None:
    def split(call: Call) -> dict[str, object]:
        program, *arguments = call.input["command"].split(" ")[1:]
        assert program == "splitparquet.py"
        assert arguments == ["airlinestorage", "-", "filestorage", "/target/", "/source/NewFile.parq", "1"]
        assert call.input["folderPath"] == "batchstorage"
        return {"exitcode": 0}

    run = factory.run(PIPELINE, mocks={"CopyFile": succeeded(), "SplitParquetInPython": split})
    run.assert_succeeded()


def test_the_file_that_is_copied_is_the_file_that_is_split(factory: FactoryUnderTest) -> None:
    location = factory.dataset("TargetParquet")["typeProperties"]["location"]
    run = factory.run(PIPELINE, unmocked="succeed")
    assert f"/{location['folderPath']}/{location['fileName']}" == run.variables["blobName"]
    assert location["container"] == run.variables["containerName"]


def test_a_failed_copy_splits_nothing(factory: FactoryUnderTest) -> None:
    run = factory.run(PIPELINE, mocks={"CopyFile": failed("UserErrorFileNotFound", "no file matches *.parq")})
    run.assert_failed(containing="no file matches").assert_not_run("SplitParquetInPython")
    assert run.skipped == ["SplitParquetInPython"]


def test_a_split_that_hangs_is_ended_after_an_hour(factory: FactoryUnderTest) -> None:
    run = factory.run(PIPELINE, mocks={"CopyFile": succeeded(), "SplitParquetInPython": hangs()})
    run.assert_failed().assert_status("TimedOut", "SplitParquetInPython")
    assert run.duration.total_seconds() == 3_600


def test_a_cancelled_run_does_not_go_on_to_the_split(factory: FactoryUnderTest) -> None:
    run = factory.start(PIPELINE, mocks={"CopyFile": succeeded(after="10m"), "SplitParquetInPython": succeeded()})
    run.advance("5m").assert_status("InProgress", "CopyFile")
    run.cancel().finish().assert_status("Cancelled").assert_not_run("SplitParquetInPython")
