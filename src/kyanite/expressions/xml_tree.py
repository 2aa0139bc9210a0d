"""XML texts as trees, and trees to texts and JSON in the way of the service's engine.

Document type declarations (and with them entities and external loads) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.json_text import check_depth
from kyanite.expressions.scope import Json

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
DECLARATION = "?xml"
_NAME = re.compile(r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?")
_ENCODED = re.compile("_x([0-9A-Fa-f]{4})_")


@dataclass(slots=True, eq=False)
class XmlNode:
    """A document, element, attribute or text; `order` is its place in the document."""

    kind: str
    name: str = ""
    value: str = ""
    parent: XmlNode | None = None
    order: int = 0
    attributes: list[XmlNode] = field(default_factory=list)
    children: list[XmlNode] = field(default_factory=list)
    declared: dict[str, str] = field(default_factory=dict)
    """Prefix -> address: the namespaces that the element itself declares."""
    last: int = 0
    """`order` of the last node below."""

    @property
    def local_name(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    @property
    def namespace(self) -> str:
        """The address of the name's namespace, '' when there is none."""
        prefix = self.name.rpartition(":")[0]
        if not prefix and self.kind == "attribute":
            return ""
        return self.address(prefix) or ""

    def address(self, prefix: str) -> str | None:
        """What a prefix stands for here, None when nothing declares it."""
        node: XmlNode | None = self
        while node is not None:
            if prefix in node.declared:
                return node.declared[prefix]
            node = node.parent
        return XML_NAMESPACE if prefix == "xml" else None

    def namespaces(self) -> dict[str, str]:
        """All prefixes that are declared here or above."""
        above = self.parent.namespaces() if self.parent else {}
        return {**above, **self.declared}

    @property
    def text(self) -> str:
        """The string value: own text, or that of all texts below."""
        if self.kind in ("attribute", "text"):
            return self.value
        return "".join(node.value for node in self.below() if node.kind == "text")

    def below(self) -> Iterator[XmlNode]:
        """All nodes below in document order, without attributes."""
        waiting = self.children[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


class _Builder:
    def __init__(self) -> None:
        self.document = XmlNode("document")
        self.open = [self.document]
        self.count = 0

    def add(self, node: XmlNode) -> XmlNode:
        self.count += 1
        node.order = self.count
        if self.count > limits.JSON_KEYS:
            raise ExpressionError(f"The XML has more than {limits.JSON_KEYS} nodes.")
        return node

    def start(self, name: str, pairs: list[str]) -> None:
        parent = self.open[-1]
        check_depth(len(self.open))
        attributes = list(zip(pairs[::2], pairs[1::2], strict=True))
        spaces = {key.partition(":")[2]: text for key, text in attributes if key.partition(":")[0] == "xmlns"}
        element = self.add(XmlNode("element", name, parent=parent, declared=spaces))
        for key, text in attributes:
            element.attributes.append(self.add(XmlNode("attribute", key, text, element)))
        for node in (element, *element.attributes):
            prefix = node.name.rpartition(":")[0]
            if prefix and prefix != "xmlns" and node.address(prefix) is None:
                raise ExpressionError(f"The XML uses the prefix '{prefix}' without declaring it.")
        parent.children.append(element)
        self.open.append(element)

    def end(self, name: str) -> None:
        self.open.pop().last = self.count

    def data(self, text: str) -> None:
        parent = self.open[-1]
        if parent.children and parent.children[-1].kind == "text":
            parent.children[-1].value += text
        else:
            parent.children.append(self.add(XmlNode("text", value=text, parent=parent)))

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        found = {"version": version, "encoding": encoding, "standalone": {0: "no", 1: "yes"}.get(standalone)}
        self.document.attributes = [XmlNode("attribute", key, text) for key, text in found.items() if text]

    def doctype(self, *parts: object) -> None:
        raise ExpressionError("The XML has a document type declaration, which is refused.")


def parse_xml(text: str) -> XmlNode:
    """The document of an XML text; raises ExpressionError for malformed or too large ones."""
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.XmlDeclHandler = builder.declaration
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(text.lstrip("\ufeff").encode("utf-8", "replace"), True)
    except expat.ExpatError as problem:
        raise ExpressionError(f"The XML is malformed: {problem}.") from None
    builder.document.last = builder.count
    return builder.document


def write_xml(node: XmlNode) -> str:
    """The text of an element, with the namespaces it needs from above."""
    pieces: list[str] = []
    _write(node, pieces, node.namespaces())
    return "".join(pieces)


def _write(node: XmlNode, pieces: list[str], inherited: Mapping[str, str] | None) -> None:
    if node.kind == "text":
        pieces.append(_escaped(node.value))
        return
    own = [(attribute.name, attribute.value) for attribute in node.attributes]
    if inherited is not None:
        declared = {name for name, _ in own}
        missing = [("xmlns:" + prefix if prefix else "xmlns", at) for prefix, at in inherited.items() if at]
        own = [pair for pair in missing if pair[0] not in declared] + own
    pieces.append(f"<{node.name}" + "".join(f" {name}={_quoted(text)}" for name, text in own))
    if not node.children:
        pieces.append(" />")
        return
    pieces.append(">")
    for child in node.children:
        _write(child, pieces, None)
    pieces.append(f"</{node.name}>")


def xml_to_json(document: XmlNode) -> Json:
    """Attributes become `@name`, mixed text `#text`, repeated elements arrays, empty elements null."""
    result: dict[str, Json] = {}
    if document.attributes:
        result[DECLARATION] = {f"@{attribute.name}": attribute.value for attribute in document.attributes}
    for child in document.children:
        if child.kind == "element":
            result[_decoded(child.name)] = _element_value(child)
    return result


def _element_value(element: XmlNode) -> Json:
    members: dict[str, Json] = {f"@{_decoded(a.name)}": a.value for a in element.attributes}
    groups: dict[str, list[Json]] = {}
    for child in element.children:
        if child.kind == "element":
            groups.setdefault(_decoded(child.name), []).append(_element_value(child))
        elif child.value.strip():
            groups.setdefault("#text", []).append(child.value)
    members |= {name: items[0] if len(items) == 1 else items for name, items in groups.items()}
    if not members:
        return None
    return members["#text"] if list(members) == ["#text"] else members


def json_to_xml(value: Mapping[str, Json]) -> str:
    """The text of an object with one root property, in the shape that `xml_to_json` gives."""
    roots = [name for name in value if name != DECLARATION]
    if len(roots) != 1 or isinstance(value[roots[0]], list):
        raise ExpressionError("The object must have one root property that is not an array.")
    pieces: list[str] = []
    declaration = value.get(DECLARATION)
    if isinstance(declaration, Mapping):
        pieces.append("<?xml" + "".join(f" {k[1:]}={_quoted(str(v))}" for k, v in declaration.items()) + "?>")
    _put_element(roots[0], value[roots[0]], pieces, 1)
    text = "".join(pieces)
    parse_xml(text)
    return text


def _put_element(name: str, value: Json, pieces: list[str], level: int) -> None:
    check_depth(level)
    tag = _encoded(name)
    members: Mapping[str, Json] = value if isinstance(value, Mapping) else {"#text": value}
    attributes = {key[1:]: text for key, text in members.items() if key.startswith("@")}
    pieces.append(f"<{tag}" + "".join(f" {_encoded(k)}={_quoted(_scalar(v))}" for k, v in attributes.items()))
    pieces.append(">")
    begin = len(pieces)
    for key, item in members.items():
        if key == "#text":
            pieces += [_escaped(_scalar(part)) for part in (item if isinstance(item, list) else [item])]
        elif not key.startswith("@"):
            for part in item if isinstance(item, list) else [item]:
                _put_element(key, part, pieces, level + 1)
    if not any(pieces[begin:]):
        pieces[begin - 1] = " />"
    else:
        pieces.append(f"</{tag}>")


def _scalar(value: Json) -> str:
    if isinstance(value, Mapping | list):
        raise ExpressionError("An attribute or a text of XML cannot be an object or an array.")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    escaped = _escaped(text).replace('"', "&quot;")
    return '"' + escaped.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;") + '"'


def _encoded(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    allowed = (letter if re.match(r"[\w.-]", letter) else f"_x{ord(letter):04X}_" for letter in name)
    text = "".join(allowed) or "_"
    return text if _NAME.fullmatch(text) else f"_x{ord(text[0]):04X}_{text[1:]}"


def _decoded(name: str) -> str:
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), name)
