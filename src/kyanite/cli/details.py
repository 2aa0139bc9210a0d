"""What an activity did, in a few words or as a table: read from its output as Data Factory writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kyanite.cli.output import count, size

Json = Any
_WRAPPED = re.compile(
    r"Failure happened on '(?P<side>\w+)' side\. ErrorCode=(?P<code>\w+),"
    r"'Type=[\w.]*,Message=(?P<message>.*),Source=\w*,'",
    re.DOTALL,
)


def one_line(kind: str, output: Json) -> str:
    """An activity's output in a few words; empty when there is nothing worth saying."""
    if not isinstance(output, Mapping):
        return ""
    if kind == "Copy":
        return _copy_line(output)
    if kind == "ForEach":
        return _joined(("items", output.get("itemsCount")))
    if kind == "Filter":
        return f"{output.get('FilteredItemsCount')} of {output.get('ItemsCount')} items"
    if "exitcode" in output:
        return f"exit code {output['exitcode']}"
    if "filesDeleted" in output:
        return _joined(("files deleted", output["filesDeleted"]))
    if "count" in output:
        return _joined(("rows", output["count"]))
    return ""


def _copy_line(output: Mapping[str, Any]) -> str:
    files = f"{count(output.get('filesRead'))} -> {count(output.get('filesWritten'))}"
    words = [
        _joined(("rows", output.get("rowsCopied", output.get("rowsRead")))),
        f"files {files}" if output.get("filesRead") is not None and output.get("filesWritten") is not None else "",
        f"{size(output.get('dataRead'))} read" if output.get("dataRead") is not None else "",
        f"{size(output.get('dataWritten'))} written" if output.get("dataWritten") is not None else "",
    ]
    return ", ".join(word for word in words if word)


def _joined(pair: tuple[str, Any]) -> str:
    return f"{pair[0]} {count(pair[1])}" if pair[1] is not None else ""


def error_text(error: Json) -> str:
    """The message of an activity's `error` object, empty when it is fine; the code comes first."""
    if not isinstance(error, Mapping) or not (error.get("message") or error.get("errorCode")):
        return ""
    code = str(error.get("errorCode") or "")
    message = plain_message(str(error.get("message") or ""))
    return f"{code}: {message}" if code and code not in message else message


def plain_message(text: str) -> str:
    """A message without the wrapping that a copy's errors have on the wire; the side and the code stand behind it."""
    return _WRAPPED.sub(lambda found: f"{found['message']} ({found['side']} side, {found['code']})", text)


def error_details(error: Json) -> list[str]:
    """What is known beyond the message, as lines: for a task, the end of its stderr."""
    details = error.get("details") if isinstance(error, Mapping) else None
    message = str(error.get("message")) if isinstance(error, Mapping) else ""
    lines: list[str] = []
    for item in details if isinstance(details, list) else []:
        texts = [item.get(name) for name in ("message", "stderr")] if isinstance(item, Mapping) else [item]
        for text in texts:
            if text and str(text).strip() not in message:
                lines += str(text).splitlines()
    return lines


_COPY_ROWS = (
    ("files read", "filesRead", count),
    ("files written", "filesWritten", count),
    ("files skipped", "filesSkipped", count),
    ("rows read", "rowsRead", count),
    ("rows written", "rowsCopied", count),
    ("rows skipped", "rowsSkipped", count),
    ("data read", "dataRead", size),
    ("data written", "dataWritten", size),
    ("duration", "copyDuration", lambda seconds: f"{count(seconds)} s"),
    ("parallel copies", "usedParallelCopies", count),
    ("log file", "logFilePath", str),
)


def copy_rows(output: Json) -> list[tuple[str, str]]:
    """The details screen of a copy: (what, value) for everything its output tells."""
    if not isinstance(output, Mapping):
        return []
    rows = [(name, show(output[key])) for name, key, show in _COPY_ROWS if output.get(key) is not None]
    throughput = output.get("throughput")
    if isinstance(throughput, int | float):
        rows.append(("throughput", f"{size(throughput * 1024)}/s"))
    return rows
