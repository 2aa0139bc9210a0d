from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from kyanite.batch.model import Exited, Task, TaskSpec
from kyanite.batch.outputs import matches, translate, upload
from kyanite.batch.outputs_spec import read_output_files
from kyanite.errors import BatchError, StorageError, UnsupportedError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def document(pattern, condition="taskcompletion", path=None, url="https://a.blob.core.windows.net/out?sv=1&sig=secret"):
    container = {"containerUrl": url} | ({"path": path} if path else {})
    return {
        "filePattern": pattern,
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": condition},
    }


def outputs(*documents):
    return read_output_files({"outputFiles": list(documents)})


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "d/a.txt", False),
        ("*", ".hidden", False),
        (".*", ".hidden", True),
        ("?.txt", "a.txt", True),
        ("?.txt", "ab.txt", False),
        ("[a-c].txt", "b.txt", True),
        ("[a-c].txt", "d.txt", False),
        ("[!a-c].txt", "d.txt", True),
        ("[!a-c].txt", "a.txt", False),
        ("[*].txt", "*.txt", True),
        ("[*].txt", "a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "d/e/a.txt", True),
        ("**/*.txt", ".d/a.txt", False),
        ("**", "d/e/a.bin", True),
        ("d/**/x", "d/x", True),
        ("d/**/x", "dx", False),
        ("a[", "a[", True),
        ("a+b.txt", "a+b.txt", True),
        ("[a", "a", False),
        ("[]]x", "]x", True),
    ],
)
def test_patterns(pattern, name, found):
    assert bool(re.fullmatch(translate(pattern), name)) is found


@pytest.fixture
def folder(tmp_path):
    task = tmp_path / "t"
    for name in ("stdout.txt", "stderr.txt", "wd/a.csv", "wd/deep/b.csv", "wd/deep/er/c.csv", "wd/.hid", "wd/[x].csv"):
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text(name)
    (tmp_path / "outside.txt").write_text("no")
    (task / "wd/link.csv").symlink_to(tmp_path / "outside.txt")
    (task / "wd/linked").symlink_to(tmp_path)
    return task


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        ("../std*.txt", "logs", ["logs/stderr.txt", "logs/stdout.txt"]),
        ("a.csv", None, ["a.csv"]),
        ("a.csv", "renamed.csv", ["renamed.csv"]),
        ("*.csv", None, ["[x].csv", "a.csv"]),
        ("**/*.csv", "out", ["out/[x].csv", "out/a.csv", "out/deep/b.csv", "out/deep/er/c.csv"]),
        ("deep/**/*.csv", None, ["b.csv", "er/c.csv"]),
        ("none*", None, []),
        ("$AZ_BATCH_TASK_DIR/stdout.txt", None, ["stdout.txt"]),
        ("$AZ_BATCH_TASK_WORKING_DIR/*.csv", None, ["[x].csv", "a.csv"]),
        ("../../outside.txt", None, []),
        ("../../*.txt", None, []),
        ("linked/*.txt", None, []),
        ("linked/outside.txt", None, []),
        ("link.csv", None, []),
        ("/etc/passwd", None, []),
        ("/etc/pass*", None, []),
    ],
)
def test_what_a_pattern_uploads_and_under_which_name(folder, pattern, path, names):
    found = list(matches(folder, outputs(document(pattern, path=path))[0]))
    assert sorted(name for _, name in found) == names


class Bucket:
    def __init__(self, refuse=None):
        self.blobs = {}
        self.refuse = refuse
        self.urls = []

    def open_url(self, url):
        self.urls.append(url)
        return self, url.partition("?")[0].split("/", 4)[4]

    def open_write(self, path):
        if self.refuse:
            raise StorageError("no", code=self.refuse)
        return Writer(self, path)


class Writer:
    def __init__(self, bucket, path):
        self.bucket, self.path, self.content = bucket, path, b""

    def __enter__(self):
        return self

    def __exit__(self, *_details):
        return None

    def write(self, piece):
        self.content += bytes(piece)
        return len(piece)

    def commit(self):
        self.bucket.blobs[self.path] = self.content


def run(folder, bucket, code, *documents):
    spec = TaskSpec("t", "true", document={"outputFiles": list(documents)})
    task = Task("a", "j", "t", "p", spec, NOW)
    return upload(task, folder, Exited(code, NOW, NOW), bucket.open_url)


def test_conditions_choose_what_is_uploaded(folder):
    wanted = [
        document("a.csv", "TaskSuccess", "ok"),
        document("a.csv", "taskfailure", "bad"),
        document("a.csv", "taskcompletion", "any"),
    ]
    for code, names in ((0, ["any", "ok"]), (1, ["any", "bad"])):
        bucket = Bucket()
        assert run(folder, bucket, code, *wanted) is None
        assert sorted(bucket.blobs) == names
        assert bucket.blobs["any"] == b"wd/a.csv"
    assert bucket.urls[0].endswith("?sv=1&sig=secret")
    assert "a.csv -> any" in (folder / "fileuploadout.txt").read_text()
    assert (folder / "fileuploaderr.txt").read_text() == ""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ContainerNotFound", "FileUploadContainerNotFound"),
        ("AuthenticationFailed", "FileUploadAccessDenied"),
        ("Busy", "FileUploadMiscError"),
    ],
)
def test_a_failed_upload_is_told_without_the_signature(folder, code, told):
    failure = run(folder, Bucket(code), 0, document("a.csv"))
    assert (failure.category, failure.code) == ("UserError", told)
    assert "secret" not in str(failure.to_json()) + (folder / "fileuploaderr.txt").read_text()


def test_a_task_that_never_ran_uploads_nothing(folder):
    assert run(folder, Bucket(), None, document("a.csv")) is None


def test_a_link_in_the_place_of_the_log_is_not_followed(folder, tmp_path):
    (folder / "fileuploadout.txt").symlink_to(tmp_path / "outside.txt")
    assert run(folder, Bucket(), 0, document("a.csv")) is None
    assert (tmp_path / "outside.txt").read_text() == "no"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"destination": {}}, BatchError),
        ({"destination": {"container": {}}}, BatchError),
        ({"uploadOptions": {}}, BatchError),
        ({"uploadOptions": {"uploadCondition": "sometimes"}}, BatchError),
        ({"filePattern": ""}, BatchError),
        (
            {"destination": {"container": {"containerUrl": "u", "uploadHeaders": [{"name": "a", "value": "b"}]}}},
            UnsupportedError,
        ),
    ],
)
def test_outputs_that_cannot_be(change, kind):
    with pytest.raises(kind):
        outputs(document("a") | change)
