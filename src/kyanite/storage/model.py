"""Names and paths of a storage account: what is allowed, and how a path is brought to its one spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from kyanite.errors import LimitError, UserError
from kyanite.limits import PATH_CHARACTERS, PATH_PART_BYTES, PATH_PARTS

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9])+\Z")
_NOT_IN_PATHS = re.compile("[\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# names that the server's other services have in paths: /NAME/... would not be this account
RESERVED_NAMES = frozenset(
    [
        "applications",
        "batch",
        "certificates",
        "common",
        "healthz",
        "jobs",
        "jobschedules",
        "lifetimejobstats",
        "lifetimepoolstats",
        "metadata",
        "metrics",
        "msi",
        "nodecounts",
        "organizations",
        "pools",
        "poolusagemetrics",
        "providers",
        "subscriptions",
        "supportedimages",
        "tenants",
    ]
)
_SYSTEM_CONTAINERS = frozenset({"$logs", "$root", "$web"})


@dataclass(frozen=True)
class Entry:
    """A file or folder of a listing; `path` has `/` between its parts and none at its ends, `size` is bytes.

    `etag` changes with every write of the file; None where the store has none.
    """

    path: str
    size: int
    modified: datetime
    is_folder: bool = False
    etag: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


def etag_of(modified_ns: int, inode: int) -> str:
    """The ETag of a file by its modification time and inode."""
    return f"0x{modified_ns:X}{inode & 0xFFFF:04X}"


def is_account_name(name: str) -> bool:
    """Whether the service would accept the name for a storage account."""
    return _ACCOUNT.match(name) is not None


def check_account_name(name: str) -> str:
    """The name itself; UserError when the service would refuse it."""
    if not is_account_name(name):
        raise UserError(
            f"`{printable(name)}` is no name for a storage account.",
            cure="Use 3 to 24 lower-case letters and digits.",
            code="InvalidResourceName",
        )
    if name in RESERVED_NAMES:
        raise UserError(
            f"`{name}` is no name for a storage account: the server has another service at /{name}.",
            cure=f"Use another name, such as {name}data.",
            code="ReservedResourceName",
        )
    return name


def check_container_name(name: str) -> str:
    """The name itself; UserError when the service would refuse it."""
    if name not in _SYSTEM_CONTAINERS and not (3 <= len(name) <= 63 and _CONTAINER.match(name)):
        raise UserError(
            f"`{printable(name)}` is no name for a container.",
            cure="Use 3 to 63 lower-case letters, digits and single hyphens, a letter or digit at both ends.",
            code="InvalidResourceName",
        )
    return name


def normalise(path: str) -> str:
    """The one spelling of a path inside a container, as a hierarchical-namespace account sees it.

    Leading, trailing and doubled slashes and `.` parts collapse. UserError for `..`, backslashes, control characters
    and text that is not valid Unicode; LimitError for what is too long.
    """
    wrong = _NOT_IN_PATHS.search(path)
    if wrong is not None:
        raise UserError(
            f"The path `{printable(path)}` holds the character U+{ord(wrong[0]):04X}, which no blob name may.",
            cure="Use `/` between folders and no control characters.",
            code="InvalidUri",
        )
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise UserError(f"The path `{printable(path)}` steps out of its folder with `..`.", code="InvalidUri")
    _check_lengths(path, parts)
    return "/".join(parts)


def _check_lengths(path: str, parts: list[str]) -> None:
    if len(path) > PATH_CHARACTERS or len(parts) > PATH_PARTS:
        raise LimitError(
            f"The path `{printable(path)}` is longer than {PATH_CHARACTERS} characters or {PATH_PARTS} parts.",
            code="OutOfRangeInput",
        )
    if len(path) > PATH_PART_BYTES // 4 and any(len(part.encode()) > PATH_PART_BYTES for part in parts):
        raise LimitError(
            f"A part of the path `{printable(path)}` is longer than {PATH_PART_BYTES} bytes.",
            cure="File systems store no longer names; shorten it.",
            code="OutOfRangeInput",
        )


def join(*parts: str) -> str:
    """Paths put together and normalised; empty ones vanish."""
    return normalise("/".join(parts))


def split_container(path: str) -> tuple[str, str]:
    """`container/dir/file` as (container, path inside it), normalised but not checked for the container's rules."""
    container, _, rest = normalise(path).partition("/")
    return container, rest


def listing_key(name: str, is_folder: bool) -> str:
    """Sort key of one folder's children such that a walk gives full paths in text order."""
    return f"{name}/" if is_folder else name


def printable(text: str) -> str:
    """The text safe for messages: control and broken characters escaped, at most 200 characters."""
    shown = text if len(text) <= 200 else f"{text[:200]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
