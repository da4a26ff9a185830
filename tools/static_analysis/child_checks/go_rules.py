"""Common learner bugs in Go."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from .common_rules import missing_return, statements
from .hits import Hit
from .trees import Dialect, Tree

DIALECT = Dialect(
    name="go",
    functions=frozenset({"function_declaration", "method_declaration", "func_literal"}),
    classes=frozenset({"type_spec"}),
    exits=frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"}),
    assignment="assignment_statement",
    strings=frozenset({"interpreted_string_literal", "raw_string_literal"}),
    loops=frozenset({"for_statement"}),
)


def run(tree: Tree) -> Iterator[Hit]:
    for rule in (
        _ignored_errors,
        _unchecked_errors,
        _empty_error_branch,
        _defer_in_loop,
        _nil_map,
        _locks,
        _panic,
        _returns,
    ):
        yield from rule(tree)


def _ignored_errors(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("short_var_declaration", "assignment_statement"):
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if (
            left is None
            or right is None
            or len(right.named_children) != 1
            or right.named_children[0].type != "call_expression"
        ):
            continue
        names = [tree.text(name) for name in left.named_children]
        if names and names[-1] == "_":
            yield tree.hit("ignored-error", node, tree.text(node))


def _unchecked_errors(tree: Tree) -> Iterator[Hit]:
    for block in tree.of("block"):
        body = statements(block)
        for index, statement in enumerate(body):
            if not _assigns_error(tree, statement):
                continue
            # `if`, `switch`, `return`, a wrapper or a test helper: anything that reads err counts as looking at it
            following = body[index + 1] if index + 1 < len(body) else None
            if following is None or not re.search(r"\berr\b", tree.text(following)) or _assigns_error(tree, following):
                yield tree.hit("unchecked-error", statement, tree.text(statement))
    returning = {
        tree.name_of(function)
        for function in tree.of("function_declaration")
        if re.search(r"\berror\b", tree.field(function, "result"))
    }
    for statement in tree.of("expression_statement"):
        call = statement.named_children[0] if statement.named_children else None
        if call is not None and call.type == "call_expression" and tree.field(call, "function") in returning:
            yield tree.hit("unchecked-error", statement, tree.text(call))


def _assigns_error(tree: Tree, statement: Node) -> bool:
    if statement.type not in {"short_var_declaration", "assignment_statement"}:
        return False
    left, right = statement.child_by_field_name("left"), statement.child_by_field_name("right")
    names = [tree.text(name) for name in left.named_children] if left is not None else []
    return "err" in names and right is not None and any(True for _ in tree.below(right, "call_expression"))


def _empty_error_branch(tree: Tree) -> Iterator[Hit]:
    for branch in tree.of("if_statement"):
        then = branch.child_by_field_name("consequence")
        if "err" in tree.field(branch, "condition") and then is not None and not statements(then):
            yield tree.hit("empty-catch", branch)


def _defer_in_loop(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("defer_statement"):
        if tree.inside(node, "for_statement"):
            yield tree.hit("defer-in-loop", node, tree.text(node))


def _nil_map(tree: Tree) -> Iterator[Hit]:
    for spec in tree.of("var_spec"):
        kind = spec.child_by_field_name("type")
        name = tree.field(spec, "name")
        around = tree.function_of(spec)
        if kind is None or kind.type != "map_type" or spec.child_by_field_name("value") is not None or around is None:
            continue
        text = tree.text(around)
        if re.search(rf"\b{re.escape(name)}\[[^\]]+\]\s*(=|\+\+|\+=)", text) and not re.search(
            rf"\b{re.escape(name)}\s*=\s*(make\(|map\[)", text
        ):
            yield tree.hit("nil-map", spec, name)


def _locks(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        name = tree.field(call, "function")
        around = tree.function_of(call)
        if name.endswith(".Lock") and around is not None and f"{name[:-5]}.Unlock()" not in tree.text(around):
            yield tree.hit("lock-without-unlock", call, name[:-5])


def _panic(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        around = tree.function_of(call)
        if (
            tree.field(call, "function") == "panic"
            and around is not None
            and tree.name_of(around) not in {"main", "init"}
        ):
            yield tree.hit("panic-for-error", call)


def _returns(tree: Tree) -> Iterator[Hit]:
    for function in tree.of("function_declaration", "method_declaration"):
        if missing_return(tree, function, tree.field(function, "result")):
            last = statements(function.child_by_field_name("body") or function)[-1:]
            if not (last and tree.text(last[0]).startswith(("panic(", "log.Fatal", "os.Exit"))):
                yield tree.hit("missing-return", function, tree.name_of(function))
