"""Checksums of bodies: MD5, and the CRC64 of the storage service.

It is the one called CRC-64/NVME (reflected polynomial 0x9A6C9329AC4BC9B5); on the wire its eight bytes stand lowest
first, in base64.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from kyanite.errors import StorageError
from kyanite.server.storage.headers import read_digest, read_md5

CRC64_HEADER = "x-ms-content-crc64"
STRUCTURED_HEADER = "x-ms-structured-body"
STRUCTURED_FORM = "XSM/1.0; properties=crc64"
_NONE: Set[bytes] = frozenset()


class Crc64:
    """A CRC64 computed piece by piece, with the methods of hashlib's objects."""

    __slots__ = ("_calculate", "value")

    def __init__(self) -> None:
        self.value = 0
        self._calculate = _calculator()

    def update(self, piece: bytes | memoryview) -> None:
        """Take in more bytes."""
        if piece:
            self.value = self._calculate(piece, self.value)

    def digest(self) -> bytes:
        """The eight bytes."""
        return self.value.to_bytes(8, "little")


@functools.cache
def _calculator() -> Callable[[bytes | memoryview, int], int]:
    from anycrc import Model

    calculate: Callable[[bytes | memoryview, int], int] = Model("CRC64-NVME").calc
    return calculate


@dataclass(frozen=True, slots=True)
class Checksum:
    """What was computed of a body, base64; empty where nobody needed it."""

    md5: str = ""
    crc64: str = ""
    structured: bool = False  # the body was a structured message

    def headers(self) -> dict[str, str]:
        """As an answer tells it."""
        found = {}
        if self.md5:
            found["content-md5"] = self.md5
        if self.crc64:
            found[CRC64_HEADER] = self.crc64
        if self.structured:
            found[STRUCTURED_HEADER] = STRUCTURED_FORM
        return found


NO_CHECKSUM = Checksum()


class Digests:
    """The checksums that a body is compared with or answered with."""

    __slots__ = ("crc64", "md5")

    def __init__(self, *, md5: bool, crc64: bool) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self.crc64 = Crc64() if crc64 else None

    def update(self, piece: bytes) -> None:
        """Take in more bytes."""
        if self.md5 is not None:
            self.md5.update(piece)
        if self.crc64 is not None:
            self.crc64.update(piece)

    def checked(self, md5: Set[bytes] = _NONE, crc64: Set[bytes] = _NONE, *, structured: bool = False) -> Checksum:
        """What was computed; StorageError `Md5Mismatch`, `Crc64Mismatch` unless it is what is expected."""
        return Checksum(_checked(self.md5, md5, "MD5"), _checked(self.crc64, crc64, "CRC64"), structured)


def _checked(computed: object, expected: Set[bytes], name: str) -> str:
    if computed is None:
        return ""
    found: bytes = computed.digest()  # type: ignore[attr-defined]
    if expected - {found}:
        raise mismatch(name)
    return base64.b64encode(found).decode()


def mismatch(name: str) -> StorageError:
    """What another checksum than the one that was given is answered with: `Md5Mismatch`, `Crc64Mismatch`."""
    return StorageError(
        f"The {name} value specified in the request did not match with the {name} value calculated by the server.",
        code=f"{name.title()}Mismatch",
    )


def given_checksums(
    headers: Mapping[str, str], md5: str = "content-md5", crc64: str = CRC64_HEADER
) -> tuple[Set[bytes], Set[bytes]]:
    """The MD5 and the CRC64 that headers of these names say, none or one of the two.

    UserError `InvalidMd5`, `InvalidHeaderValue`, StorageError `BothCrc64AndMd5HeaderPresent`.
    """
    given_md5, given_crc64 = headers.get(md5), headers.get(crc64)
    if given_md5 and given_crc64:
        raise StorageError(f"Both {crc64} header and {md5} header are present.", code="BothCrc64AndMd5HeaderPresent")
    return {read_md5(given_md5, md5)} if given_md5 else _NONE, {
        read_crc64(given_crc64, crc64)
    } if given_crc64 else _NONE


def read_crc64(text: str, name: str) -> bytes:
    """The eight bytes of a CRC64 header. UserError `InvalidHeaderValue`."""
    return read_digest(text, name, "CRC64", 8, "InvalidHeaderValue")
