"""One walk over a Python tree that all rules share: every node with the names of what encloses it."""

import ast
from collections.abc import Sequence
from typing import NamedTuple

_LEAVES = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


class Placed(NamedTuple):
    """A node and its symbol: the dotted names of the classes and functions around it."""

    node: ast.AST
    symbol: str


def placed(tree: ast.Module) -> Sequence[Placed]:
    found: list[Placed] = []
    stack = [Placed(tree, "")]
    while stack:
        here = stack.pop()
        found.append(here)
        node, symbol = here
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            symbol = f"{symbol}.{node.name}" if symbol else node.name
        for name in node._fields:
            value: object = getattr(node, name, None)
            if isinstance(value, ast.AST):
                if not isinstance(value, _LEAVES):
                    stack.append(Placed(value, symbol))
            elif isinstance(value, list):
                stack.extend(Placed(each, symbol) for each in value if isinstance(each, ast.AST))  # pyright: ignore[reportUnknownVariableType]
    return found
