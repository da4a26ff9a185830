"""The outline of a tree: functions with their parameters, classes, calls and constructs used."""

import re

from tree_sitter import Node

from .hits import Function, Outline
from .trees import Tree

CONSTRUCTS = {
    "for": (
        "for_statement",
        "enhanced_for_statement",
        "for_in_statement",
        "for_expression",
        "for_range_loop",
        "foreach_statement",
    ),
    "while": ("while_statement", "do_statement", "while_expression", "loop_expression"),
    "class": ("class_declaration", "class_specifier", "struct_item", "struct_specifier"),
    "lambda": ("arrow_function", "lambda_expression", "closure_expression", "func_literal"),
    "try": ("try_statement", "try_expression"),
    "async": ("await_expression",),
}
MAX_NAMES = 400


def outline(tree: Tree) -> Outline:
    functions = [_function(tree, node) for node in tree.of(*sorted(tree.dialect.functions)) if tree.name_of(node)]
    classes = [tree.name_of(node) for node in tree.of(*sorted(tree.dialect.classes))]
    calls = {_callee(tree, node) for node in tree.of(tree.dialect.call, "macro_invocation", "new_expression")}
    used = {name for name, types in CONSTRUCTS.items() if any(tree.by_type.get(kind) for kind in types)}
    if _recursive(tree):
        used.add("recursion")
    return Outline(
        tuple(functions[:MAX_NAMES]),
        tuple(name for name in classes[:MAX_NAMES] if name),
        tuple(sorted(name for name in calls if name)[:MAX_NAMES]),
        tuple(sorted(used)),
    )


def _function(tree: Tree, node: Node) -> Function:
    holder: Node | None = node
    while holder is not None and holder.child_by_field_name("parameters") is None:
        holder = holder.child_by_field_name("declarator")
    listed = holder.child_by_field_name("parameters") if holder is not None else None
    names = tuple(_parameter(tree, each) for each in listed.named_children) if listed is not None else ()
    return Function(tree.name_of(node), names, node.start_point.row + 1, node.end_point.row + 1)


def _parameter(tree: Tree, node: Node) -> str:
    named = next(
        (node.child_by_field_name(key) for key in ("name", "pattern", "declarator") if node.child_by_field_name(key)),
        node,
    )
    found = re.findall(r"[A-Za-z_]\w*", tree.text(named))
    return found[-1] if found else ""


def _callee(tree: Tree, node: Node) -> str:
    for key in ("function", "name", "macro", "constructor"):
        text = tree.field(node, key)
        if text:
            return re.split(r"\.|::|->", text)[-1][:60]
    return ""


def _recursive(tree: Tree) -> bool:
    for call in tree.of(tree.dialect.call):
        around = tree.function_of(call)
        if around is not None and _callee(tree, call) == tree.name_of(around) != "":
            return True
    return False
