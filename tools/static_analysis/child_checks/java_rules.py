"""Common learner bugs in Java."""

import re
from collections.abc import Iterator

from .common_rules import missing_return
from .hits import Hit
from .switches import missing_break
from .trees import Dialect, Tree

DIALECT = Dialect(
    name="java",
    functions=frozenset({"method_declaration", "constructor_declaration"}),
    classes=frozenset({"class_declaration", "interface_declaration", "enum_declaration", "record_declaration"}),
    blocks=frozenset({"block", "switch_block_statement_group"}),
    catch="catch_clause",
    call="method_invocation",
    loops=frozenset({"for_statement", "enhanced_for_statement", "while_statement", "do_statement"}),
)
RESOURCES = re.compile(
    r"^(File(Reader|Writer|InputStream|OutputStream)|Buffered\w+|Print(Writer|Stream)|Socket|RandomAccessFile)$"
)
PURE_STRING = {"trim", "strip", "toUpperCase", "toLowerCase", "replace", "replaceAll", "substring", "concat", "repeat"}


def run(tree: Tree) -> Iterator[Hit]:
    yield from missing_break(tree)
    for rule in (_string_identity, _catches, _resources, _integer_division, _discarded, _equals, _returns):
        yield from rule(tree)


def _declared(tree: Tree, types: set[str]) -> set[str]:
    names = {
        tree.field(declarator, "name")
        for declaration in tree.of("local_variable_declaration", "field_declaration")
        if tree.field(declaration, "type") in types
        for declarator in tree.below(declaration, "variable_declarator")
    }
    return names | {
        tree.field(node, "name") for node in tree.of("formal_parameter") if tree.field(node, "type") in types
    }


def _string_identity(tree: Tree) -> Iterator[Hit]:
    strings = _declared(tree, {"String"})
    for node in tree.of("binary_expression"):
        if tree.field(node, "operator") not in {"==", "!="}:
            continue
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        sides = {tree.text(left), tree.text(right)}
        literal = any(side is not None and side.type == "string_literal" for side in (left, right))
        if "null" not in sides and (literal or sides <= strings):
            yield tree.hit("string-identity", node, tree.text(node))


def _catches(tree: Tree) -> Iterator[Hit]:
    for clause in tree.of("catch_type"):
        if tree.text(clause) in {"Exception", "Throwable", "RuntimeException", "Error"}:
            yield tree.hit("broad-catch", clause, tree.text(clause))
    for clause in tree.of("finally_clause"):
        for leaving in tree.below(clause, "return_statement"):
            yield tree.hit("return-in-finally", leaving)


def _resources(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("object_creation_expression"):
        if not RESOURCES.match(tree.field(node, "type")) or tree.inside(node, "resource_specification"):
            continue
        around = tree.function_of(node)
        if tree.inside(node, "object_creation_expression") is None and ".close(" not in tree.text(around or tree.root):
            yield tree.hit("unclosed-resource", node, tree.field(node, "type"))


def _integer_division(tree: Tree) -> Iterator[Hit]:
    whole = _declared(tree, {"int", "long", "short", "byte"})
    for declaration in tree.of("local_variable_declaration", "field_declaration"):
        if tree.field(declaration, "type") not in {"double", "float"}:
            continue
        for division in tree.below(declaration, "binary_expression"):
            sides = (tree.field(division, "left"), tree.field(division, "right"))
            if tree.field(division, "operator") == "/" and all(s in whole or re.fullmatch(r"\d+", s) for s in sides):
                yield tree.hit("integer-division", division, tree.text(division))


def _discarded(tree: Tree) -> Iterator[Hit]:
    strings = _declared(tree, {"String"})
    for statement in tree.of("expression_statement"):
        call = statement.named_children[0] if statement.named_children else None
        if (
            call is not None
            and call.type == "method_invocation"
            and tree.field(call, "object") in strings
            and tree.field(call, "name") in PURE_STRING
        ):
            yield tree.hit("discarded-result", call, tree.field(call, "name"))


def _equals(tree: Tree) -> Iterator[Hit]:
    for declared in tree.of("class_declaration"):
        body = declared.child_by_field_name("body")
        members = body.named_children if body is not None else []
        names = {tree.field(node, "name"): node for node in members if node.type == "method_declaration"}
        if "equals" in names and "hashCode" not in names:
            yield tree.hit("equals-without-hash", names["equals"], tree.field(declared, "name"))


def _returns(tree: Tree) -> Iterator[Hit]:
    for method in tree.of("method_declaration"):
        if missing_return(tree, method, tree.field(method, "type")):
            yield tree.hit("missing-return", method, tree.name_of(method))
