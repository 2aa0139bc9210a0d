"""XML values and XPath."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from kyanite.errors import ExpressionError
from kyanite.expressions import characters, values
from kyanite.expressions.functions.arguments import ArgumentRefused, text, xml_document
from kyanite.expressions.scope import Evaluation, Json
from kyanite.expressions.xml_tree import XmlNode, json_to_xml, parse_xml, write_xml
from kyanite.expressions.xpath import evaluate_xpath


def xml(evaluation: Evaluation, value: Json) -> Json:
    """XML value of an XML text, or of an object with one root property."""
    try:
        if isinstance(value, Mapping) and not values.is_binary(value):
            whole = json_to_xml(value)
        else:
            whole = values.text_form(value, evaluation) if values.is_binary(value) else text(value)
            evaluation.spend(len(whole) >> 6)
            parse_xml(whole)
    except ExpressionError as problem:
        raise ArgumentRefused(0, problem.message) from None
    evaluation.reserve(2 * len(whole))
    return values.binary(characters.utf8_bytes(whole), values.XML_TYPE)


def xpath(evaluation: Evaluation, value: Json, query: Json) -> Json:
    """What an XPath query finds in an XML value: nodes as an array, a double, a string or a boolean."""
    document = xml_document(value, 0, evaluation)
    try:
        found = evaluate_xpath(document, text(query, 1), evaluation)
    except ArgumentRefused:
        raise
    except ExpressionError as problem:
        raise ArgumentRefused(1, problem.message) from None
    if isinstance(found, list):
        evaluation.reserve_items(len(found))
        return [_node_value(node, evaluation) for node in found]
    if isinstance(found, float) and not isfinite(found):
        raise ArgumentRefused(1, "The result of the XPath query is not a number.")
    return found


def _node_value(node: XmlNode, evaluation: Evaluation) -> Json:
    if node.kind in ("attribute", "text"):
        return node.value
    element = node if node.kind == "element" else next(child for child in node.children if child.kind == "element")
    whole = write_xml(element)
    evaluation.reserve(2 * len(whole))
    return values.binary(characters.utf8_bytes(whole), values.XML_TYPE)
