"""The XML bodies of the storage service: small documents without any declaration but their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from kyanite.errors import UserError
from kyanite.server.http import Response

_HEAD = '<?xml version="1.0" encoding="utf-8"?>'
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile("[&<>\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def element(name: str, *children: str) -> str:
    """An element around finished XML."""
    inner = "".join(children)
    return f"<{name}>{inner}</{name}>" if inner else f"<{name} />"


def leaf(name: str, text: str | int) -> str:
    """An element with text."""
    return f"<{name}>{safe(str(text))}</{name}>" if text != "" else f"<{name} />"


def safe(text: str) -> str:
    """Text for XML; characters that XML has no way to write become U+FFFD."""
    return escape(_ILLEGAL.sub("\ufffd", text)) if _SPECIAL.search(text) else text


def name_leaf(text: str) -> str:
    """The Name of a blob, percent-encoded and marked so when XML cannot hold it."""
    if not _SPECIAL.search(text):
        return f"<Name>{text}</Name>"
    if _ILLEGAL.search(text):
        return f'<Name Encoded="true">{quote(text)}</Name>'
    return f"<Name>{escape(text)}</Name>"


def metadata_xml(metadata: Mapping[str, str]) -> str:
    """<Metadata> of a listing."""
    return element("Metadata", *(leaf(name, value) for name, value in metadata.items()))


def answer(*root: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with an XML document, given in pieces."""
    body = "".join((_HEAD, *root)).encode("utf-8", "replace")
    return Response(status, {"content-type": "application/xml", **(headers or {})}, body)


def parse(body: bytes) -> ElementTree.Element:
    """The root of a document. UserError `InvalidXmlDocument`; declarations of types and entities are refused."""
    if b"<!" in body.replace(b"<!--", b"") or b"\0" in body:
        raise UserError("The XML in the request declares a document type.", code="InvalidXmlDocument")
    try:
        return ElementTree.fromstring(body.decode("utf-8-sig"))  # noqa: S314 - no declaration gets here
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as problem:
        raise UserError("XML specified is not syntactically valid.", code="InvalidXmlDocument") from problem


def texts(elements: Iterable[ElementTree.Element]) -> list[tuple[str, str]]:
    """(name, text) of each element."""
    return [(each.tag, each.text or "") for each in elements]
