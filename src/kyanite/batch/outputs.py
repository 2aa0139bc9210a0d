"""Output files of an ended task -> containers. Batch reference section 14.

`fileuploadout.txt` in the task's directory says what was uploaded, `fileuploaderr.txt` what went wrong.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kyanite import limits
from kyanite.batch.model import Exited, FailureInfo, Task
from kyanite.batch.outputs_spec import OutputFile, read_output_files
from kyanite.errors import KyaniteError

OpenUrl = Callable[[str], tuple[Any, str]]
_WILD = re.compile(r"[*?\[]")


def upload(task: Task, folder: Path, end: Exited, open_url: OpenUrl) -> FailureInfo | None:
    """Upload what the task's end asks for from its directory; why the first failure happened, None when all went well.

    All files are tried. A pattern that matches nothing is no error.
    """
    outputs = read_output_files(task.spec.document)
    if end.exit_code is None or not outputs:
        return None
    done: list[str] = []
    problems: list[FailureInfo] = []
    for output in [output for output in outputs if output.applies(end.exit_code)]:
        for file, name in matches(folder, output):
            try:
                _upload_one(file, name, output, open_url)
                done.append(f"{file} -> {name}")
            except (KyaniteError, OSError) as error:
                problems.append(_failure(output, file, error))
    _write_lines(folder, "fileuploadout.txt", done)
    _write_lines(folder, "fileuploaderr.txt", [problem.message for problem in problems])
    return problems[0] if problems else None


def matches(folder: Path, output: OutputFile) -> Iterator[tuple[Path, str]]:
    """The regular files that a pattern names, sorted, each with the name of its blob.

    Patterns are relative to `wd` and stay within the task's directory; links are never followed.
    """
    root = os.path.realpath(folder)
    pattern = output.pattern.replace("$AZ_BATCH_TASK_WORKING_DIR", f"{root}/wd").replace("$AZ_BATCH_TASK_DIR", root)
    whole = os.path.normpath(os.path.join(root, "wd", pattern))  # noqa: PTH118 - a pattern, not a path
    if not _WILD.search(pattern):
        file = Path(whole)
        if _is_inside(file, root) and file.is_file() and not file.is_symlink():
            yield file, output.path or file.name
        return
    fixed = _fixed_part(whole)
    expression = re.compile(translate(whole))
    for file in sorted(_files_below(Path(fixed), root)):
        if expression.fullmatch(str(file)):
            relative = os.path.relpath(file, fixed).replace(os.sep, "/")
            yield file, f"{output.path}/{relative}" if output.path else relative


def _is_inside(file: Path, root: str) -> bool:
    return os.path.realpath(file) == str(file) and str(file).startswith(root + os.sep)


def _fixed_part(pattern: str) -> str:
    """The folder before the first wildcard."""
    return os.path.dirname(_WILD.split(pattern, maxsplit=1)[0])  # noqa: PTH120 - a pattern, not a path


def _files_below(folder: Path, root: str) -> Iterator[Path]:
    if not (str(folder) + os.sep).startswith(root + os.sep) or os.path.realpath(folder) != str(folder):
        return
    count = 0
    for place, _folders, names in os.walk(folder, followlinks=False):
        for name in names:
            file = Path(place, name)
            if file.is_file() and not file.is_symlink():
                count += 1
                if count > limits.OUTPUT_FILES:
                    raise OSError(f"more than {limits.OUTPUT_FILES:,} files are below {folder}")
                yield file


def translate(pattern: str) -> str:
    """A pattern as a regular expression: `*` and `?` within a step, `**` any steps, `[a-c]`, `[!x]`, `[*]`.

    Names that begin with a dot match only where the dot is written out.
    """
    steps = pattern.split("/")
    text = ""
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if step == "**":
            text += "(?:(?!\\.)[^/]+/)*" + ("(?!\\.)[^/]+" if last else "")
            continue
        hidden = "(?!\\.)" if step[:1] in ("*", "?", "[") else ""
        text += hidden + _translate_step(step) + ("" if last else "/")
    return text


def _translate_step(step: str) -> str:
    text, place = "", 0
    while place < len(step):
        char = step[place]
        end = step.find("]", place + 2) if char == "[" else -1
        if end > 0:
            inner = step[place + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            text += f"[^/{inner[1:]}]" if inner.startswith("!") else f"(?!/)[{inner}]"
            place = end + 1
            continue
        text += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        place += 1
    return text


def _upload_one(file: Path, name: str, output: OutputFile, open_url: OpenUrl) -> None:
    address, _, query = output.container_url.partition("?")
    connection, path = open_url(f"{address.rstrip('/')}/{name}" + (f"?{query}" if query else ""))
    with file.open("rb") as source, connection.open_write(path) as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.commit()


def _failure(output: OutputFile, file: Path, error: KyaniteError | OSError) -> FailureInfo:
    code = error.error_code if isinstance(error, KyaniteError) else ""
    if "ContainerNotFound" in code or "FilesystemNotFound" in code:
        code = "FileUploadContainerNotFound"
    elif "Auth" in code or "Forbidden" in code or "Denied" in code:
        code = "FileUploadAccessDenied"
    else:
        code = "FileUploadMiscError"
    reason = error.message if isinstance(error, KyaniteError) else error.strerror or str(error)
    address = output.container_url.partition("?")[0]
    details = (("FilePath", file.name), ("Container", address))
    return FailureInfo("UserError", code, f"'{file.name}' could not be uploaded to {address}: {reason}", details)


def _write_lines(folder: Path, name: str, lines: list[str]) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "w") as out:
        out.writelines(line + "\n" for line in lines)
