"""Tags of blobs: at most ten pairs of short texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from kyanite.errors import UserError
from kyanite.limits import TAG_CHARACTERS, TAG_NAME_CHARACTERS, TAGS
from kyanite.server.storage.xml import element, leaf, parse

_TEXT = re.compile(r"[A-Za-z0-9 +\-./:=_]*\Z")


def read_tags_header(text: str) -> dict[str, str]:
    """The x-ms-tags header. UserError `InvalidTag`."""
    return check_tags(dict(parse_qsl(text, keep_blank_values=True))) if text else {}


def read_tags(body: bytes) -> dict[str, str]:
    """The body of Set Blob Tags. UserError `InvalidXmlDocument`, `InvalidTag`."""
    root = parse(body)
    if root.tag != "Tags" or root.find("TagSet") is None:
        raise UserError("The body is no Tags document.", code="InvalidXmlDocument")
    pairs = [(each.findtext("Key") or "", each.findtext("Value") or "") for each in root.iter("Tag")]
    if len({name for name, _ in pairs}) < len(pairs):
        raise UserError("A tag is given twice.", code="InvalidTag")
    return check_tags(dict(pairs))


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags themselves. UserError `InvalidTag` for too many, too long, or characters the service refuses."""
    for name, value in tags.items():
        long = not 1 <= len(name) <= TAG_NAME_CHARACTERS or len(value) > TAG_CHARACTERS
        if long or not _TEXT.match(name) or not _TEXT.match(value):
            raise UserError("Tags have names of 1 to 128 and values of up to 256 plain characters.", code="InvalidTag")
    if len(tags) > TAGS:
        raise UserError(f"A blob has at most {TAGS} tags.", code="InvalidTag")
    return tags


def tags_xml(tags: Mapping[str, str]) -> str:
    """<Tags> as it is read and listed."""
    return element(
        "Tags",
        element("TagSet", *(element("Tag", leaf("Key", k), leaf("Value", v)) for k, v in sorted(tags.items()))),
    )
