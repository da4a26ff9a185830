"""Cases of a switch that run into the next one."""

from collections.abc import Iterator

from tree_sitter import Node

from .common_rules import COMMENTS, exit_of, statements
from .hits import Hit
from .trees import Tree

CASES = ("switch_case", "switch_block_statement_group", "case_statement")
NOT_BODY = {"switch_label", "constant_pattern", *COMMENTS}


def missing_break(tree: Tree) -> Iterator[Hit]:
    """A case with statements, no way out and another case after it; a 'fall through' comment is respected."""
    for case in tree.of(*CASES):
        after = _next_case(tree, case)
        body = _body(case)
        if after is None or not body or _leaves(tree, body[-1]):
            continue
        between = tree.source[body[-1].end_byte : after.start_byte + 1].decode(errors="replace").lower()
        if "fall" in tree.text(case).lower() or "fall" in between:
            continue
        yield tree.hit("missing-break", case)


def _body(case: Node) -> list[Node]:
    value = case.child_by_field_name("value")
    return [
        node for node in case.named_children if node.type not in NOT_BODY and (value is None or node.id != value.id)
    ]


def _next_case(tree: Tree, case: Node) -> Node | None:
    above = tree.parent(case)
    if above is None:
        return None
    later = [node for node in above.named_children if node.start_byte >= case.end_byte]
    return next((node for node in later if node.type in {*CASES, "switch_default"}), None)


def _leaves(tree: Tree, last: Node) -> bool:
    if exit_of(tree, last) or last.type in {"continue_statement", "goto_statement", "yield_statement"}:
        return True
    if last.type in tree.dialect.blocks:
        inner = statements(last)
        return bool(inner) and _leaves(tree, inner[-1])
    if last.type == "if_statement":
        then, other = last.child_by_field_name("consequence"), last.child_by_field_name("alternative")
        if then is None or other is None:
            return False
        inner = other.named_children[0] if other.type == "else_clause" and other.named_children else other
        return _leaves(tree, then) and _leaves(tree, inner)
    return False
