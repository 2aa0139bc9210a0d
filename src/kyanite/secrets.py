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
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from kyanite.errors import InvariantError, LimitError, StateError
from kyanite.limits import SECRET_MINIMUM_CHARACTERS

MASK = "***"
_MARKER = re.compile(r"~secret:([0-9a-f]{24}):([a-z0-9.]+)~")

# Well-known shapes of secrets that nobody registered: a word that must be there (lower case), then what is masked.
# They are compiled by re, once each, when their word is met: most commands never meet one.
_SHAPES = (
    ("accountkey=", r"(?<=AccountKey=)[^;\"'\s]+"),
    ("sharedaccesssignature=", r"(?<=SharedAccessSignature=)[^;\"'\s]+"),
    ("sig=", r"(?:(?<=[?&]sig=)|(?<=\\u0026sig=))[^&\"'\s\\]+"),
    ("bearer ", r"(?<=\bBearer )[A-Za-z0-9._~+/=-]{16,}"),
    ("sharedkey ", r"(?<=SharedKey )[^:\s]+:[A-Za-z0-9+/=]{20,}"),
    ("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    ("private key-----", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!-))*-----END [A-Z ]*PRIVATE KEY-----"),
)

Entry = dict[str, Any]


@dataclass(frozen=True)
class _Known:
    """What one reading of the file gives. It is replaced as a whole, so threads never see half of a change.

    `entries`: name -> id, value, past values; `texts`: (id, form) -> text; `markers`: text -> marker, longest first;
    `hints`: pieces one of which stands in every JSON text that holds a secret, fewer than there are spellings.
    """

    entries: Mapping[str, Entry]
    texts: Mapping[tuple[str, str], str]
    markers: Mapping[str, str]
    hints: Sequence[str]


class Vault:
    """The secrets of one workspace, kept in one file that only its owner may read; any thread or process may use it.

    `path` None keeps them in memory only. Values shorter than 6 characters are not treated as secrets: masking them
    would mangle ordinary text; `put` returns False for them. Texts only: a number is never taken for a secret.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known = _index({})
        self._lock = threading.RLock()
        self._load()

    def get(self, name: str) -> str | None:
        """The value kept under a name such as `storage/myaccount/key1`, or None."""
        entry = self._load().entries.get(name)
        return entry["value"] if entry else None

    def revision(self) -> object:
        """Another object as soon as any secret is another, found out by one look at the file."""
        return self._load()

    def put(self, name: str, value: str) -> bool:
        """Keep a value under a name; it is sealed and masked from now on. False when too short to be one."""
        if len(value) < SECRET_MINIMUM_CHARACTERS:
            return False
        self.register({name: value})
        return True

    def register(self, values: Mapping[str, str]) -> None:
        """Keep many values in one write; too short ones are left out."""
        entries = self._load().entries
        fresh = {
            name: value
            for name, value in values.items()
            if len(value) >= SECRET_MINIMUM_CHARACTERS and (entries.get(name) or {}).get("value") != value
        }
        if fresh:
            self._store(fresh)

    def get_or_create(self, name: str, bytes_of_randomness: int = 64) -> str:
        """The value under a name; a random base64 key is made when there is none yet."""
        value = self.get(name)
        if value is None:
            value = base64.b64encode(os.urandom(bytes_of_randomness)).decode()
            value = str(self._store({name: value}, keep_existing=True).entries[name]["value"])
        return value

    def seal(self, text: str) -> str:
        """The text with each known secret replaced by its marker; `open` gives the same text back."""
        return _seal(text, self._load()) if text else text

    def open(self, text: str) -> str:
        """The text with each marker of this vault replaced by the text it stands for."""
        return _open(text, self._load()) if "~secret:" in text else text

    def seal_json(self, value: Any) -> str:
        """A JSON value as sealed text."""
        known = self._load()
        text = _dump(value)
        if any(hint in text for hint in known.hints):
            needed = _narrow(known, value)
            text = _dump(_walk(value, lambda each: _seal(each, needed)))
        return text if _encodable(text) else json.dumps(json.loads(text), separators=(",", ":"))

    def open_json(self, text: str) -> Any:
        """The JSON value of a sealed text, with the real values in it."""
        value = json.loads(text)
        if "~secret:" not in text:
            return value
        known = self._load()
        return _walk(value, lambda each: _open(each, known))

    def masked_json(self, text: str) -> Any:
        """The JSON value of a sealed text as a person may see it."""
        return self.mask_json(json.loads(text))

    def mask(self, text: str) -> str:
        """The text as a person may see it: markers, known values and well-known shapes of secrets become `***`."""
        return _mask(text, self._load())

    def mask_json(self, value: Any) -> Any:
        """A JSON value with every text in it masked."""
        known = self._load()
        text = _dump(value)
        if "~secret:" in text or any(hint in text for hint in known.hints) or _has_shape(text):
            needed = _narrow(known, value)
            return _walk(value, lambda each: _mask(each, needed))
        return value

    # ---- the file

    def _load(self) -> _Known:
        if self._path is None:
            return self._known
        try:
            status = os.stat(self._path)  # noqa: PTH116 - on every request
        except FileNotFoundError:
            return self._known
        except OSError as error:
            raise _unreadable(self._path, error.strerror) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return self._known
        with self._lock:
            if status.st_mode & 0o077:
                self._path.chmod(0o600)
            self._known = _index(self._read())
            self._stamp = stamp
            return self._known

    def _read(self) -> dict[str, Entry]:
        if self._path is None:
            return dict(self._known.entries)
        try:
            entries: dict[str, Entry] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return dict(self._known.entries)
        except OSError as error:
            raise _unreadable(self._path, error.strerror) from error
        except ValueError:
            raise _unreadable(self._path, "it is not the JSON that kyanite wrote") from None
        return entries

    def _store(self, values: Mapping[str, str], keep_existing: bool = False) -> _Known:
        with self._lock:
            if self._path is None:
                self._known = _index(_merge(self._read(), values, keep_existing))
                return self._known
            try:
                return self._write(self._path, values, keep_existing)
            except OSError as error:
                raise StateError(
                    f"The secrets of the workspace cannot be written: {error.strerror}.",
                    where=str(self._path),
                    cure="Free some space and make the folder writable for this user; nothing was half written.",
                ) from error

    def _write(self, path: Path, values: Mapping[str, str], keep_existing: bool) -> _Known:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _index(_merge(self._read(), values, keep_existing))
            beside = path.with_suffix(f".{os.getpid()}.new")
            handle = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(known.entries, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
                status = os.fstat(out.fileno())
            beside.replace(path)
            _sync_folder(path.parent)
            self._known = known
            self._stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            return known
        finally:
            os.close(lock)


def _unreadable(path: Path, reason: str | None) -> StateError:
    return StateError(
        f"The secrets of the workspace cannot be read: {reason}.",
        where=str(path),
        cure="Put a backup of the file back and make it readable for this user.",
    )


def _sync_folder(folder: Path) -> None:
    # an event that holds a marker must never outlive the value it stands for, not even through a power cut
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _merge(entries: dict[str, Entry], values: Mapping[str, str], keep_existing: bool) -> dict[str, Entry]:
    """The entries with some more values; a replaced value is remembered, stored texts may still hold its marker."""
    ids = {entry["value"]: entry["id"] for entry in entries.values()}
    for name, value in values.items():
        old = entries.get(name)
        if old is not None and (keep_existing or old["value"] == value):
            continue
        entry: Entry = {"id": ids.get(value) or os.urandom(12).hex(), "value": value}
        if old is not None:
            entry["past"] = [*old.get("past", []), {"id": old["id"], "value": old["value"]}]
        entries[name] = entry
        ids[value] = entry["id"]
    return entries


def _index(entries: Mapping[str, Entry]) -> _Known:
    values = {each["id"]: each["value"] for entry in entries.values() for each in (*entry.get("past", ()), entry)}
    texts: dict[tuple[str, str], str] = {}
    hints: dict[str, None] = {}
    for identity, value in values.items():
        forms = dict(_forms(value))
        texts.update({(identity, form): text for form, text in forms.items()})
        own: list[str] = []
        for piece in sorted({_steady(text) for text in forms.values()}, key=len):
            if not any(hint in piece for hint in own):
                own.append(piece)
        hints.update(dict.fromkeys(own))
    markers = {text: f"~secret:{identity}:{form}~" for (identity, form), text in reversed(texts.items())}
    longest_first = dict(sorted(markers.items(), key=lambda item: -len(item[0])))
    return _Known(entries, texts, longest_first, tuple(hints))


def _steady(text: str) -> str:
    """The part of a text that most spellings share: its longest run of letters and digits, if that tells enough."""
    longest = max(re.findall("[A-Za-z0-9]+", text), key=len, default="")
    return longest if len(longest) >= SECRET_MINIMUM_CHARACTERS else json.dumps(text, ensure_ascii=False)[1:-1]


# ---- the shapes of a value


def _forms(value: str) -> Iterator[tuple[str, str]]:
    """The spellings under which a value turns up in other texts, each with the name its marker carries for ever."""
    yield from _written(value)
    data = value.encode("utf-8", "surrogatepass")
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        yield name, encode(data).decode()
        for shift, core in enumerate(_cores(data, encode)):
            yield f"{name}.{shift}", core
    lines = [line.strip() for line in value.splitlines()]
    for number, line in enumerate(lines):
        if line != value and len(line) >= SECRET_MINIMUM_CHARACTERS:
            for name, text in _written(line):
                yield f"{name}.line{number}", text


def _written(text: str) -> Iterator[tuple[str, str]]:
    yield "raw", text
    escaped = json.dumps(text)[1:-1]
    yield "json", escaped
    yield "jsonutf8", json.dumps(text, ensure_ascii=False)[1:-1]
    # .NET's System.Text.Json escapes these as well
    yield "jsonnet", re.sub(r"""\\"|[+&'<>`]""", lambda match: f"\\u{ord(match[0][-1]):04X}", escaped)
    for name, url in (
        ("url", quote(text, safe="", errors="surrogatepass")),
        ("urlpath", quote(text, safe="/", errors="surrogatepass")),
        ("urlform", quote_plus(text, errors="surrogatepass")),
    ):
        yield name, url
        yield f"{name}lower", re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), url)
    yield "shell", text.replace("'", "'\"'\"'")


def _cores(data: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """What base64 makes of a value inside something longer (`user:password`): it depends on where the value begins."""
    for shift, first in enumerate((0, 2, 3)):
        whole = (shift + len(data)) * 8 // 6
        yield encode(b"\0" * shift + data)[first:whole].decode()


# ---- changing texts


def _seal(text: str, known: _Known) -> str:
    present = [each for each in known.markers if each in text]
    if not present:
        return text
    # markers that are there already stay as they are, so sealing twice is sealing once
    sealed = {match[0] for match in _MARKER.finditer(text) if (match[1], match[2]) in known.texts}
    wanted = "|".join(map(re.escape, [*sealed, *present]))
    return re.sub(wanted, lambda match: known.markers.get(match[0], match[0]), text)


def _narrow(known: _Known, value: Any) -> _Known:
    """The same knowledge with only those markers that a JSON value needs: most texts in it are short and many."""
    texts: list[str] = []

    def remember(text: str) -> str:
        texts.append(text)
        return text

    _walk(value, remember)
    everything = "\0".join(texts)
    return replace(known, markers={text: marker for text, marker in known.markers.items() if text in everything})


def _open(text: str, known: _Known) -> str:
    return _MARKER.sub(lambda match: known.texts.get((match[1], match[2]), match[0]), text)


def _mask(text: str, known: _Known) -> str:
    text = _MARKER.sub(MASK, _seal(text, known))
    lower = text.lower()
    for word, pattern in _SHAPES:
        if word in lower:
            text = re.sub(pattern, MASK, text, flags=re.IGNORECASE)
    return text


def _has_shape(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word, _ in _SHAPES)


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_walk(item, change) for item in value]
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _walk(item, change) for key, item in value.items()}
    return value


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except RecursionError:
        raise LimitError("A JSON value is nested too deeply.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise InvariantError(f"A value of type {type(value).__name__} is not JSON.")


def _encodable(text: str) -> bool:
    """False for half a surrogate pair, which JSON can escape and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
