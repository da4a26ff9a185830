"""Learner bugs in Python that ruff does not look for, found on the AST."""

import ast
import re
from collections.abc import Iterator, Sequence

from .hits import Hit, short
from .python_tree import Placed

IN_PLACE = {"sort", "append", "extend", "insert", "reverse", "clear", "update", "add", "remove"}
PURE_STRING = {"strip", "lstrip", "rstrip", "upper", "lower", "replace", "title", "capitalize", "casefold", "format"}


def run(nodes: Sequence[Placed], code: str) -> Iterator[Hit]:
    """Every rule at every node."""
    lines = code.splitlines()
    for node, symbol in nodes:
        for rule, where, detail in _at(node, lines):
            yield Hit(rule, where.lineno, where.lineno, symbol, short(detail))
    yield from _typed_numbers(nodes)
    yield from _marks(lines)


Found = tuple[str, ast.expr | ast.stmt, str]


def _at(node: ast.AST, lines: list[str]) -> Iterator[Found]:  # noqa: C901 - one case a rule
    match node:
        case ast.Assign():
            yield from _assignment(node, lines)
        case ast.BinOp():
            yield from _input_arithmetic(node)
        case ast.For():
            yield from _loop(node)
        case ast.Compare():
            yield from _comparison(node)
        case ast.BoolOp(op=ast.Or(), values=[ast.Compare(ops=[ast.Eq()]), *rest]):
            if any(isinstance(value, ast.Constant) and not isinstance(value.value, bool) for value in rest):
                yield "or-with-constant", node, ast.unparse(node)
        case ast.Subscript(value=sequence, slice=ast.Call(func=ast.Name(id="len"), args=[sized])):
            if ast.dump(sequence) == ast.dump(sized):
                yield "index-past-the-end", node, ast.unparse(node)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr=attr))):
            if attr in PURE_STRING and isinstance(owner, ast.Name | ast.Attribute) and attr != "update":
                yield "discarded-result", node, attr
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            if _only_placeholder(body):
                yield "not-implemented", node, node.name
        case _:
            pass


def _assignment(node: ast.Assign, lines: list[str]) -> Iterator[Found]:
    match node.value:
        case ast.UnaryOp(op=ast.UAdd() | ast.USub()) as value:
            before = lines[value.lineno - 1].encode()[: value.col_offset + 1].decode(errors="replace")
            after = lines[value.lineno - 1].encode()[value.col_offset + 1 :].decode(errors="replace")
            if re.search(r"=[+-]$", before) and after.startswith(" "):
                yield "reversed-operator", node, before[-2:]
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr)) if attr in IN_PLACE:
            target = node.targets[0]
            if attr in {"sort", "reverse", "append"} or (isinstance(target, ast.Name) and target.id == owner):
                yield "in-place-result", node, attr
        case _:
            pass


def _input_arithmetic(node: ast.BinOp) -> Iterator[Found]:
    sides = (node.left, node.right)
    typed = any(
        isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "input" for side in sides
    )
    number = any(isinstance(side, ast.Constant) and isinstance(side.value, int | float) for side in sides)
    if typed and number and not isinstance(node.op, ast.Mult):
        yield "input-as-number", node, ""


def _typed_numbers(nodes: Sequence[Placed]) -> Iterator[Hit]:
    """A name that only ever holds what `input` returned, compared or calculated with as if it were a number."""
    values: dict[tuple[str, str], list[ast.expr]] = {}
    for node, symbol in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault((symbol, target.id), []).append(node.value)
    typed = {place for place, given in values.items() if all(_is_input(value) for value in given)}
    for node, symbol in nodes:
        match node:
            case ast.Compare(left=left, comparators=[right]):
                pair = (left, right)
            case ast.BinOp(left=left, right=right, op=ast.Add() | ast.Sub() | ast.Div() | ast.FloorDiv() | ast.Pow()):
                pair = (left, right)
            case _:
                continue
        names = [(symbol, side.id) for side in pair if isinstance(side, ast.Name)]
        if any(place in typed for place in names) and any(_is_number(side) for side in pair):
            yield Hit("input-as-number", node.lineno, node.lineno, symbol)


def _is_input(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "input"


def _is_number(side: ast.expr) -> bool:
    return isinstance(side, ast.Constant) and type(side.value) in (int, float)


def _loop(node: ast.For) -> Iterator[Found]:
    match node.iter:
        case ast.Call(func=ast.Name(id="range"), args=[ast.Call(func=ast.Name(id="len"), args=[sized])]):
            if isinstance(node.target, ast.Name) and _indexes(node, sized, node.target.id):
                yield "index-loop", node, ast.unparse(sized)
        case ast.Call(func=ast.Name(id="range"), args=[*_, ast.BinOp(left=ast.Call() as size, op=ast.Add()) as bound]):
            if (
                isinstance(size.func, ast.Name)
                and size.func.id == "len"
                and isinstance(node.target, ast.Name)
                and size.args
                and _indexes(node, size.args[0], node.target.id)
            ):
                yield "loop-past-the-end", node, ast.unparse(bound)
        case ast.Name(id=name):
            changed = next((call for call in ast.walk(node) if _changes(call, name)), None)
            if changed is not None and not any(isinstance(stop, ast.Break | ast.Return) for stop in ast.walk(node)):
                yield "changed-while-iterating", node, name
        case _:
            pass


def _indexes(node: ast.For, sequence: ast.expr, counter: str) -> bool:
    """`xs[i]` is read, and neither `i` alone nor `xs[i] = …` gives the index another use."""
    wanted = ast.dump(sequence)
    found = False
    for each in ast.walk(node):
        if isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Name) and each.slice.id == counter:
            if isinstance(each.ctx, ast.Store):
                return False
            found = found or ast.dump(each.value) == wanted
    return found


def _changes(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Name(id=owner), attr="remove" | "append" | "insert" | "pop" | "add" | "discard"
            )
        ):
            return owner == name
        case ast.Delete(targets=[ast.Subscript(value=ast.Name(id=owner)), *_]):
            return owner == name
        case _:
            return False


def _comparison(node: ast.Compare) -> Iterator[Found]:
    sides = [node.left, *node.comparators]
    if any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
        if any(isinstance(side, ast.Constant) and isinstance(side.value, float) and side.value % 1 for side in sides):
            yield "float-equality", node, ast.unparse(node)
        if any(_not_a_number(side) for side in sides):
            yield "nan-comparison", node, ast.unparse(node)
    first = node.left
    if (
        isinstance(first, ast.Call)
        and isinstance(first.func, ast.Name)
        and first.func.id == "input"
        and any(isinstance(side, ast.Constant) and isinstance(side.value, int | float) for side in node.comparators)
    ):
        yield "input-as-number", node, ""


def _not_a_number(side: ast.expr) -> bool:
    match side:
        case ast.Attribute(attr="nan") | ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value="nan" | "NaN")]):
            return True
        case _:
            return False


def _only_placeholder(body: list[ast.stmt]) -> bool:
    rest = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    if len(rest) > 1 or not body:
        return False
    match rest:
        case [ast.Pass()]:
            return True
        case [ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError")))]:
            return True
        case []:
            return all(isinstance(each, ast.Expr) and _ellipsis(each) for each in body)
        case _:
            return False


def _ellipsis(each: ast.Expr) -> bool:
    return isinstance(each.value, ast.Constant) and each.value.value is ...


def _marks(lines: list[str]) -> Iterator[Hit]:
    for number, line in enumerate(lines, start=1):
        found = re.search(r"#.*\b(TODO|FIXME|XXX)\b.*", line)
        if found:
            yield Hit("unfinished", number, number, "", short(found.group().strip("# ")))
