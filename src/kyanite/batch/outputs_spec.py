"""What a task's `outputFiles` say: which files go where, and when. Batch reference section 14."""

from __future__ import annotations

from dataclasses import dataclass, field

from kyanite.batch.codes import missing, wrong_value
from kyanite.batch.reading import Document, choice, items, objects, part, required, text
from kyanite.errors import UnsupportedError

_CONDITIONS = ("tasksuccess", "taskfailure", "taskcompletion")


@dataclass(frozen=True)
class OutputFile:
    """Files matching `pattern` go to a container, below `path`, when `condition` holds of the task's end."""

    pattern: str
    container_url: str = field(repr=False)
    path: str
    condition: str
    headers: tuple[tuple[str, str], ...] = ()

    def applies(self, exit_code: int) -> bool:
        """Whether the files are wanted after this exit code."""
        if self.condition == "taskcompletion":
            return True
        return (self.condition == "tasksuccess") == (exit_code == 0)


def read_output_files(document: Document) -> tuple[OutputFile, ...]:
    """A task's `outputFiles`; a managed identity is refused, a SAS or a container of this workspace is needed."""
    return tuple(_read(item) for item in objects(document, "outputFiles"))


def _read(body: Document) -> OutputFile:
    container = part(part(body, "destination"), "container")
    if not container:
        raise missing("destination.container")
    options = part(body, "uploadOptions")
    if options.get("uploadCondition") is None:
        raise missing("uploadOptions.uploadCondition")
    if items(container, "uploadHeaders"):
        raise UnsupportedError(
            "The property 'uploadHeaders' is not supported.",
            cure="Leave it out: blobs are written without headers of their own.",
            code="UnsupportedProperty",
        )
    pattern = required(body, "filePattern")
    if "\0" in pattern:
        raise wrong_value("filePattern", pattern, "It holds a NUL character.")
    return OutputFile(
        pattern,
        required(container, "containerUrl"),
        (text(container, "path") or "").strip("/"),
        choice(options, "uploadCondition", _CONDITIONS, "taskcompletion"),
    )
