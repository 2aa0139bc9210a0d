"""Secrets: values that must not be shown.

A `Vault` knows every secret value of a workspace. Text is *sealed* before it is stored (each known value becomes an
opaque marker), *opened* only where work is done with it, and *masked* (`***`) wherever a person or a client reads it.
So logs, events, run inputs and deployed definitions never hold a secret, and expressions still see the real value.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import secrets as randomness
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kyanite.limits import SECRET_MINIMUM_CHARACTERS

MASK = "***"
_MARKER = re.compile(r"~secret:([0-9a-f]{24}):(raw|base64|url|json)~")

_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<=AccountKey=)[^;\"'\s]+",
        r"(?<=SharedAccessSignature=)[^;\"'\s]+",
        r"(?<=[?&]sig=)[^&\"'\s]+",
        r"(?<=\bBearer )[A-Za-z0-9._~+/=-]{16,}",
        r"(?<=SharedKey )[^:\s]+:[A-Za-z0-9+/=]{20,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    )
)


def _forms(value: str) -> dict[str, str]:
    """The shapes in which a value turns up in other texts; the first spelling of a shape wins."""
    candidates = {
        "raw": value,
        "base64": base64.b64encode(value.encode()).decode(),
        "url": quote(value, safe=""),
        "json": json.dumps(value)[1:-1],
    }
    seen: dict[str, str] = {}
    for form, text in candidates.items():
        if text not in seen.values():
            seen[form] = text
    return seen


class Vault:
    """The secrets of one workspace, kept in one file that only its owner may read.

    `path` None keeps them in memory only. Values shorter than 6 characters are not treated as secrets: masking them
    would mangle ordinary text; `put` returns False for them.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: dict[str, dict[str, str]] = {}
        self._stamp: tuple[int, int] | None = None
        self._sealer: Callable[[str], str] | None = None
        self._by_id: dict[str, dict[str, str]] = {}
        self._load()

    def get(self, name: str) -> str | None:
        """The value kept under a name such as `storage/myaccount/key1`, or None."""
        self._load()
        entry = self._entries.get(name)
        return entry["value"] if entry else None

    def put(self, name: str, value: str) -> bool:
        """Keep a value under a name; it is sealed and masked from now on. False when too short to be one."""
        if len(value) < SECRET_MINIMUM_CHARACTERS:
            return False
        if self.get(name) != value:
            self._store({name: value})
        return True

    def register(self, values: dict[str, str]) -> None:
        """Keep many values in one write; too short ones are left out."""
        self._load()
        fresh = {
            name: value
            for name, value in values.items()
            if len(value) >= SECRET_MINIMUM_CHARACTERS and (self._entries.get(name) or {}).get("value") != value
        }
        if fresh:
            self._store(fresh)

    def get_or_create(self, name: str, bytes_of_randomness: int = 64) -> str:
        """The value under a name; a random base64 key is made when there is none yet."""
        value = self.get(name)
        if value is None:
            value = base64.b64encode(randomness.token_bytes(bytes_of_randomness)).decode()
            self._store({name: value}, keep_existing=True)
            value = self._entries[name]["value"]
        return value

    def seal(self, text: str) -> str:
        """The text with each known secret replaced by its marker; `open` gives the same text back."""
        self._load()
        if self._sealer is None:
            self._sealer = self._compile()
        return self._sealer(text)

    def open(self, text: str) -> str:
        """The text with each marker of this vault replaced by the value it stands for."""
        if "~secret:" not in text:
            return text
        self._load()

        def reveal(match: re.Match[str]) -> str:
            forms = self._by_id.get(match[1])
            return forms.get(match[2], match[0]) if forms else match[0]

        return _MARKER.sub(reveal, text)

    def seal_json(self, value: Any) -> str:
        """A JSON value as sealed text."""
        return json.dumps(self._walk(value, self.seal), ensure_ascii=False, separators=(",", ":"))

    def open_json(self, text: str) -> Any:
        """The JSON value of a sealed text, with the real values in it."""
        value = json.loads(text)
        return self._walk(value, self.open) if "~secret:" in text else value

    def masked_json(self, text: str) -> Any:
        """The JSON value of a sealed text as a person may see it."""
        return self.mask_json(json.loads(text))

    def mask(self, text: str) -> str:
        """The text as a person may see it: markers, known values and well-known shapes of secrets become `***`."""
        text = _MARKER.sub(MASK, self.seal(text))
        for pattern in _PATTERNS:
            text = pattern.sub(MASK, text)
        return text

    def mask_json(self, value: Any) -> Any:
        """A JSON value with every text in it masked."""
        return self._walk(value, self.mask)

    def _walk(self, value: Any, change: Callable[[str], str]) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, list):
            return [self._walk(item, change) for item in value]
        if isinstance(value, dict):
            return {change(key): self._walk(item, change) for key, item in value.items()}
        return value

    # ---- the file

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._entries = json.loads(self._path.read_text(encoding="utf-8"))
            self._stamp = stamp
            self._index()

    def _index(self) -> None:
        self._by_id = {entry["id"]: _forms(entry["value"]) for entry in self._entries.values()}
        for entry in self._entries.values():
            for past in json.loads(entry.get("past", "[]")):
                self._by_id[past["id"]] = _forms(past["value"])
        self._sealer = None

    def _store(self, values: dict[str, str], keep_existing: bool = False) -> None:
        if self._path is None:
            self._merge(values, keep_existing)
            self._index()
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._load()
            self._merge(values, keep_existing)
            beside = self._path.with_suffix(f".{os.getpid()}.new")
            handle = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(self._entries, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            beside.replace(self._path)
            self._index()
            status = self._path.stat()
            self._stamp = (status.st_mtime_ns, status.st_size)
        finally:
            os.close(lock)

    def _merge(self, values: dict[str, str], keep_existing: bool) -> None:
        ids = {entry["value"]: entry["id"] for entry in self._entries.values()}
        for name, value in values.items():
            old = self._entries.get(name)
            if old is not None and (keep_existing or old["value"] == value):
                continue
            entry = {"id": ids.get(value) or randomness.token_hex(12), "value": value}
            if old is not None:
                past = [*json.loads(old.get("past", "[]")), {"id": old["id"], "value": old["value"]}]
                entry["past"] = json.dumps(past)
            self._entries[name] = entry

    def _compile(self) -> Callable[[str], str]:
        """One pass over a text, longest value first so that a value inside another never wins."""
        table = {
            text: f"~secret:{identity}:{form}~"
            for identity, forms in self._by_id.items()
            for form, text in forms.items()
        }
        if not table:
            return lambda text: text
        alternation = re.compile("|".join(re.escape(text) for text in sorted(table, key=len, reverse=True)))
        return lambda text: alternation.sub(lambda match: table[match[0]], text)
