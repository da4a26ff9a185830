"""Rules that mean the same in every language read through tree-sitter."""

import re
from collections.abc import Iterator
from itertools import pairwise

from tree_sitter import Node

from .hits import Hit, short
from .trees import Tree

SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|api_?key|access_?token|private_?key)$")
PLACEHOLDER = re.compile(r"(?i)^\W*(|x+|\*+|change.?me|your.*|example.*|todo|test|none|null|env.*)\W*$")
SQL = re.compile(r"(?is)\b(select\s.+\sfrom|insert\s+into|update\s.+\sset|delete\s+from)\b")
EXTREME = re.compile(r"if\s*\(?\s*([\w.\[\]]+)\s*[<>]\s*(\w+)\s*\)?\s*\{?\s*\2\s*=\s*\1\s*;?\s*\}?\s*$")
COMMENTS = frozenset({"comment", "line_comment", "block_comment"})


def run(tree: Tree) -> Iterator[Hit]:
    """Every shared rule over one tree."""
    for rule in (
        unreachable,
        assignment_in_condition,
        loop_past_the_end,
        empty_catch,
        empty_statement_body,
        same_on_both_sides,
        endless_loop,
        hardcoded_secret,
        sql_from_parts,
        lost_swap,
        extreme_from_zero,
        unfinished,
    ):
        yield from rule(tree)


def statements(block: Node) -> list[Node]:
    """The statements of a block, comments left out; Go wraps them in a statement_list."""
    inner = block.named_children
    if len(inner) == 1 and inner[0].type == "statement_list":
        inner = inner[0].named_children
    return [node for node in inner if node.type not in COMMENTS]


def exit_of(tree: Tree, statement: Node) -> bool:
    """Does control never pass this statement? Rust wraps `return x;` in an expression statement."""
    if statement.type == "expression_statement" and statement.named_child_count == 1:
        inner = statement.named_children[0]
        return inner.type in tree.dialect.exits
    return statement.type in tree.dialect.exits


def unreachable(tree: Tree) -> Iterator[Hit]:
    declarations = {"function_declaration", "function_item", "local_function_statement", "labeled_statement"}
    for block in tree.of(*tree.dialect.blocks):
        body = statements(block)
        for before, after in pairwise(body):
            if exit_of(tree, before) and after.type not in declarations and not after.type.startswith("case"):
                yield tree.hit("unreachable-code", after)
                break


def assignment_in_condition(tree: Tree) -> Iterator[Hit]:
    for branch in tree.of("if_statement", "while_statement", "if_expression"):
        condition = branch.child_by_field_name("condition")
        # a doubled pair of parentheses is how C-like languages say "this is on purpose"
        if condition is not None and condition.type in {"parenthesized_expression", "condition_clause"}:
            condition = condition.named_children[0] if condition.named_children else None
        if (
            condition is not None
            and condition.type == tree.dialect.assignment
            and branch.type != "while_statement"
            and any(child.type == "=" for child in condition.children)
        ):
            yield tree.hit("assignment-in-condition", condition, tree.text(condition))


def loop_past_the_end(tree: Tree) -> Iterator[Hit]:
    """`i <= xs.length` with an index that starts anywhere: the last round reads one past the end."""
    size = re.compile(r"^[\w.\->\[\]]+(\.|->)(length|size|count|Length|Count)(\(\))?$|^(len|size)\([\w.]+\)$")
    for loop in tree.of("for_statement", "for_clause", "while_statement"):
        condition = loop.child_by_field_name("condition")
        for comparison in _comparisons(condition):
            operator = tree.field(comparison, "operator")
            left, right = tree.field(comparison, "left"), tree.field(comparison, "right")
            if (operator == "<=" and size.match(right)) or (operator == ">=" and size.match(left)):
                counter = left if operator == "<=" else right
                if re.fullmatch(r"\w+", counter) and _indexed_by(tree, loop, counter):
                    yield tree.hit("loop-past-the-end", comparison, tree.text(comparison))


def _indexed_by(tree: Tree, loop: Node, counter: str) -> bool:
    """Only an index that is really used as one; counting 1..n inclusive is fine."""
    whole = tree.parent(loop) if loop.type == "for_clause" else loop
    return bool(
        re.search(rf"\[\s*{re.escape(counter)}\s*\]|\.(get|at|charAt|charCodeAt)\(\s*{counter}\s*\)", tree.text(whole))
    )


def _comparisons(condition: Node | None) -> Iterator[Node]:
    if condition is None:
        return
    if condition.type == "binary_expression":
        yield condition
    for child in condition.named_children:
        yield from _comparisons(child)


def empty_catch(tree: Tree) -> Iterator[Hit]:
    for clause in tree.of(tree.dialect.catch) if tree.dialect.catch else ():
        body = clause.child_by_field_name("body") or (clause.named_children[-1] if clause.named_children else None)
        if body is not None and not statements(body):
            yield tree.hit("empty-catch", clause)


def empty_statement_body(tree: Tree) -> Iterator[Hit]:
    for branch in tree.of("if_statement", "for_statement", "while_statement"):
        body = branch.child_by_field_name("consequence") or branch.child_by_field_name("body")
        if body is None or tree.text(body).strip() != ";":
            continue
        above = tree.parent(branch)
        if above is not None and above.type == "do_statement":
            continue
        yield tree.hit("empty-body", branch)


def same_on_both_sides(tree: Tree) -> Iterator[Hit]:
    for comparison in tree.of("binary_expression"):
        left, right = comparison.child_by_field_name("left"), comparison.child_by_field_name("right")
        operator = tree.field(comparison, "operator")
        if (
            operator in {"==", "===", "!=", "!==", "<", ">", "<=", ">=", "&&", "||", "-"}
            and left is not None
            and left.type not in {"integer_literal", "number", "number_literal"}
            and tree.text(left) == tree.text(right)
        ):
            yield tree.hit("same-on-both-sides", comparison, tree.text(comparison))
    for assignment in tree.of(tree.dialect.assignment):
        if tree.field(assignment, "left") == tree.field(assignment, "right") and any(
            child.type == "=" for child in assignment.children
        ):
            yield tree.hit("self-assignment", assignment, tree.text(assignment))


def endless_loop(tree: Tree) -> Iterator[Hit]:
    always = {"true", "(true)", "1", "(1)", ""}
    leaves = {"break_statement", "return_statement", "throw_statement", "break_expression", "return_expression"}
    leaves |= {"yield_expression", "await_expression", "select_statement", "macro_invocation", "yield_statement"}
    for loop in tree.of("while_statement", "for_statement", "loop_expression", "while_expression"):
        if tree.dialect.name == "go" and loop.named_child_count > 1:
            continue  # Go has one loop keyword; a bare `for { }` has nothing but its body
        body = loop.child_by_field_name("body")
        if body is None or tree.field(loop, "condition") not in always:
            continue
        if not any(True for _ in tree.below(body, *leaves)) and "exit(" not in tree.text(body).lower():
            yield tree.hit("endless-loop", loop)


def hardcoded_secret(tree: Tree) -> Iterator[Hit]:
    holders = (
        "variable_declarator",
        "assignment_expression",
        "const_spec",
        "var_spec",
        "const_item",
        "init_declarator",
    )
    for holder in tree.of(*holders, "short_var_declaration", "let_declaration", "pair", "static_item"):
        name = next(
            (
                tree.field(holder, key)
                for key in ("name", "left", "declarator", "pattern", "key")
                if tree.field(holder, key)
            ),
            "",
        )
        value = holder.child_by_field_name("value") or holder.child_by_field_name("right")
        literal = _string_in(tree, value or (holder.named_children[-1] if holder.named_children else None))
        tail = re.split(r"[.\->]", name.strip("*& "))[-1].strip("'\"")
        if literal and SECRET_NAME.search(tail) and len(literal) >= 4 and not PLACEHOLDER.match(literal):
            yield tree.hit("hardcoded-secret", holder, tail)


def _string_in(tree: Tree, node: Node | None) -> str:
    while node is not None and node.type == "expression_list" and node.named_child_count == 1:
        node = node.named_children[0]
    return tree.text(node).strip("\"'`") if node is not None and node.type in tree.dialect.strings else ""


def sql_from_parts(tree: Tree) -> Iterator[Hit]:
    for joined in tree.of("binary_expression"):
        above = tree.parent(joined)
        if tree.field(joined, "operator") != "+" or (above is not None and above.type == "binary_expression"):
            continue
        text = tree.text(joined)
        pieces = list(tree.below(joined, *tree.dialect.strings))
        outside = text
        for piece in pieces:
            outside = outside.replace(tree.text(piece), "")
        if pieces and SQL.search(" ".join(tree.text(piece) for piece in pieces) + " ") and re.search(r"\w", outside):
            yield tree.hit("sql-from-parts", joined)
    for template in tree.of("template_string", "interpolated_string_expression"):
        holes = list(tree.below(template, "template_substitution", "interpolation"))
        above = tree.parent(template)
        if holes and SQL.search(tree.text(template)) and (above is None or above.type != "call_expression"):
            yield tree.hit("sql-from-parts", template)
    for call in tree.of(tree.dialect.call, "macro_invocation"):
        head = re.match(r"[\w.:]+!?", tree.text(call))
        formats = {"fmt.Sprintf", "format!", "String.format", "sprintf", "string.Format", "std::format"}
        if (
            head
            and head.group() in formats
            and any(SQL.search(tree.text(node)) for node in tree.below(call, *tree.dialect.strings))
        ):
            yield tree.hit("sql-from-parts", call)


def lost_swap(tree: Tree) -> Iterator[Hit]:
    """`a = b; b = a`: the first value is gone before it is used."""
    for block in tree.of(*tree.dialect.blocks):
        for before, after in pairwise(statements(block)):
            first, second = sides(tree.text(before)), sides(tree.text(after))
            if first is not None and second is not None and first == (second[1], second[0]) and first[0] != first[1]:
                yield tree.hit("lost-swap", after, first[0])


def sides(text: str) -> tuple[str, str] | None:
    """Both sides of a plain assignment of one place to another."""
    found = re.fullmatch(r"\s*([\w.\[\]]+)\s*=\s*([\w.\[\]]+)\s*;?\s*", text) if len(text) < 200 else None
    return (found.group(1), found.group(2)) if found else None


def extreme_from_zero(tree: Tree) -> Iterator[Hit]:
    """The largest of some numbers, searched from 0: among negative ones that is the answer."""
    for branch in tree.of("if_statement", "if_expression"):
        text = tree.text(branch)
        found = EXTREME.match(text) if len(text) < 300 else None
        around = tree.function_of(branch)
        if found is None or around is None:
            continue
        start = re.search(rf"\b{re.escape(found.group(2))}\s*(?::=|=)\s*0\s*[;\n]", tree.text(around))
        if start is not None:
            line = around.start_point.row + 1 + tree.text(around).count("\n", 0, start.start())
            yield Hit("extreme-from-zero", line, line, tree.symbol(branch), found.group(2))


def unfinished(tree: Tree) -> Iterator[Hit]:
    for comment in tree.of(*COMMENTS):
        if re.search(r"\b(TODO|FIXME|XXX)\b", tree.text(comment)):
            yield tree.hit("unfinished", comment, short(tree.text(comment).strip("/*# \n")))


def missing_return(tree: Tree, function: Node, result: str) -> bool:
    """A body that declares a result and whose last statement is plainly not a way out."""
    body = function.child_by_field_name("body")
    if body is None or result in {"", "void", "()", "!", "never"}:
        return False
    inner = statements(body)
    if not inner:
        return True
    ends = {"expression_statement", "declaration", "local_variable_declaration", "local_declaration_statement"}
    ends |= {
        "short_var_declaration",
        "assignment_statement",
        "inc_statement",
        "enhanced_for_statement",
        "foreach_statement",
    }
    ends |= {"let_declaration", "lexical_declaration", "for_range_loop"}
    last = inner[-1]
    if last.type == "if_statement":
        return last.child_by_field_name("alternative") is None
    if last.type == "for_statement":
        return bool(tree.field(last, "condition")) or any(
            child.type in {"for_clause", "range_clause"} for child in last.named_children
        )
    return last.type in ends
