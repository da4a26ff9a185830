"""Rules about the way through Python code: what is never reached, never ended, never returned."""

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from .hits import Hit, short
from .python_tree import Placed

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def run(nodes: Sequence[Placed]) -> Iterator[Hit]:
    """Every rule at every node; what is said of a function carries the function's own name as its symbol."""
    for node, around in nodes:
        if isinstance(node, ast.expr):
            continue
        symbol = f"{around}.{node.name}".lstrip(".") if isinstance(node, FunctionNode) else around
        for rule, where, detail in _at(node):
            yield Hit(rule, where.lineno, where.lineno, symbol, short(detail))


def _at(node: ast.AST) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    yield from _neighbours(node)
    match node:
        case ast.While(test=ast.Constant(value=value)) if value and not _gets_out(node):
            yield "endless-loop", node, ""
        case ast.For(body=[*_, ast.If(body=then, orelse=other)]) if other:
            if len(node.body) == 1 and _returns(then) and _returns(other):
                yield "return-in-first-round", node, ""
        case ast.For(body=[_, *_, ast.Return()]):
            if not any(isinstance(each, ast.Continue) for each in within(node)):
                yield "return-in-first-round", node, ""
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _function(node)
        case _:
            pass


def _neighbours(node: ast.AST) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    for body in _bodies(node):
        for before, after in pairwise(body):
            if leaves(before):
                yield "unreachable-code", after, ""
                break
            first, second = _move(before), _move(after)
            if first is not None and second is not None and first == second[::-1] and first[0] != first[1]:
                yield "lost-swap", after, first[0]


def _function(node: FunctionNode) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    own = list(within(node))
    generator = any(isinstance(each, ast.Yield | ast.YieldFrom) for each in own)
    values = [each for each in own if isinstance(each, ast.Return) and each.value is not None]
    meaningful = [each for each in values if not (isinstance(each.value, ast.Constant) and each.value.value is None)]
    # a loop that always returns in its first round is told as that; the way around it is the same mistake
    hasty = isinstance(node.body[-1], ast.For) and leaves(node.body[-1].body[-1])
    if meaningful and not generator and not hasty and falls_through(node.body):
        yield "missing-return", node, node.name
    yield from _divisions(own)
    yield from _extremes(own)
    if isinstance(node, ast.FunctionDef) and _always_calls(node.body, node.name) and not generator:
        yield "endless-recursion", node, node.name


def _move(statement: ast.stmt) -> tuple[str, str] | None:
    """Both sides of a plain assignment of one place to another."""
    match statement:
        case ast.Assign(targets=[ast.Name() | ast.Subscript() as left], value=ast.Name() | ast.Subscript() as right):
            return ast.unparse(left), ast.unparse(right)
        case _:
            return None


def _extremes(own: list[ast.AST]) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    """The largest of some numbers, searched from 0: among negative ones that is the answer."""
    from_zero = {
        target.id: each
        for each in own
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant) and each.value.value == 0
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    for each in own:
        match each:
            case ast.If(
                test=ast.Compare(left=left, ops=[ast.Gt() | ast.Lt()], comparators=[ast.Name(id=name)]),
                body=[ast.Assign(targets=[ast.Name(id=target)], value=value)],
            ) if name == target and name in from_zero and ast.dump(left) == ast.dump(value):
                yield "extreme-from-zero", from_zero[name], name
            case _:
                pass


def _divisions(own: list[ast.AST]) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    """Division by `len(x)` where nothing in the function ever asks whether `x` is empty."""
    tests = [each.test for each in own if isinstance(each, ast.If | ast.IfExp | ast.While | ast.Assert)]
    asked = {ast.dump(part) for test in tests for part in ast.walk(test)}
    caught = any(isinstance(each, ast.Try) and "ZeroDivision" in ast.dump(each) for each in own)
    for each in own:
        match each:
            case ast.BinOp(
                op=ast.Div() | ast.FloorDiv() | ast.Mod(), right=ast.Call(func=ast.Name(id="len"), args=[sized])
            ):
                if ast.dump(sized) not in asked and not caught:
                    yield "division-by-length", each, ast.unparse(sized)
            case _:
                pass


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything inside a function that belongs to it, not to functions defined inside."""
    stack = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, SCOPES):
            stack.extend(ast.iter_child_nodes(node))


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list):
            yield [each for each in body if isinstance(each, ast.stmt)]  # pyright: ignore[reportUnknownVariableType]


def leaves(statement: ast.stmt) -> bool:
    """Control never passes this statement."""
    match statement:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.If(body=then, orelse=other):
            return bool(other) and leaves(then[-1]) and leaves(other[-1])
        case _:
            return False


def falls_through(body: list[ast.stmt]) -> bool:  # noqa: C901 - one case a statement
    """The end of this body can be reached, as far as its last statement tells."""
    if any(leaves(each) for each in body):
        return False
    last = body[-1]
    match last:
        case ast.Return() | ast.Raise():
            return False
        case ast.Expr(value=ast.Call(func=ast.Name(id="exit" | "quit") | ast.Attribute(attr="exit" | "fail"))):
            return False
        case ast.If(body=then, orelse=other):
            return not other or falls_through(then) or falls_through(other)
        case ast.With(body=inner) | ast.AsyncWith(body=inner):
            return falls_through(inner)
        case ast.While(test=ast.Constant(value=value)) if value:
            return any(isinstance(each, ast.Break) for each in within(last))
        case ast.Try(body=tried, handlers=handlers, orelse=other, finalbody=final):
            if final and not falls_through(final):
                return False
            return falls_through(other or tried) or any(falls_through(each.body) for each in handlers)
        case ast.Match(cases=cases):
            open_end = not any(isinstance(each.pattern, ast.MatchAs) and each.pattern.pattern is None for each in cases)
            return open_end or any(falls_through(each.body) for each in cases)
        case ast.Assert(test=ast.Constant(value=False)):
            return False
        case _:
            return True


def _returns(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Return)


def _gets_out(loop: ast.While) -> bool:
    ways = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom, ast.Await)
    return any(isinstance(each, ways) or _exits(each) for each in within(loop))


def _exits(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="exit" | "quit") | ast.Attribute(attr="exit" | "_exit" | "serve_forever")):
            return True
        case _:
            return False


def _always_calls(body: list[ast.stmt], name: str) -> bool:
    """Every way through the body meets a call of the function itself before any way out."""
    for statement in body:
        match statement:
            case ast.If(test=test, body=then, orelse=other):
                if _mentions(test, name) or (other and _always_calls(then, name) and _always_calls(other, name)):
                    return True
                if any(isinstance(each, ast.Return | ast.Raise) for each in within(statement)):
                    return False
            case ast.Return() | ast.Expr() | ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                if _mentions(statement, name):
                    return True
                if isinstance(statement, ast.Return):
                    return False
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case _:
                if any(isinstance(each, ast.Return | ast.Raise) for each in (statement, *within(statement))):
                    return False
    return False


def _mentions(node: ast.AST, name: str) -> bool:
    for each in (node, *within(node)):
        match each:
            case ast.IfExp() | ast.BoolOp():
                return False  # a short circuit may be the base case
            case ast.Call(func=ast.Name(id=called)) if called == name:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=called)) if called == name:
                return True
            case _:
                pass
    return False
