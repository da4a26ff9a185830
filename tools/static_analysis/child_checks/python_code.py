"""Python: parse, ruff, own rules and outline; every way a parser can give up becomes a hit."""

import ast
import warnings
from collections.abc import Sequence

from . import languages, python_flow, python_rules, ruff_lint
from .hits import Function, Hit, Outline, Report, bounded, guarded, short
from .python_tree import Placed, placed

MAX_NAMES = 400


def check(code: str) -> Report:
    try:
        with warnings.catch_warnings():
            # a learner's "\d" would print a warning; ruff reports it with a line
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
            compile(tree, "code.py", "exec", dont_inherit=True)
    except (RecursionError, MemoryError):
        return Report(depth="syntax", hits=[Hit("too-deeply-nested", 1, 1)])
    except (SyntaxError, ValueError) as error:
        return _broken(code, error)
    try:
        nodes = placed(tree)
        hits = [*guarded(python_rules.run(nodes, code)), *guarded(python_flow.run(nodes))]
        shape = outline(nodes)
    except RecursionError:
        return Report(depth="syntax", hits=[Hit("too-deeply-nested", 1, 1)])
    depth = "full"
    try:
        hits += [named(tree, hit) for hit in ruff_lint.lint(code)]
    except (ruff_lint.LintFailed, OSError, ValueError):
        depth = "syntax"
        hits.append(Hit("analysis-partial", 1, 1))
    return Report(parsed=True, depth=depth, hits=bounded(hits), outline=shape)


def _broken(code: str, error: SyntaxError | ValueError) -> Report:
    lines = max(1, code.count("\n") + 1)
    line = min(lines, max(1, error.lineno or 1)) if isinstance(error, SyntaxError) else 1
    detail = short(error.msg) if isinstance(error, SyntaxError) else ""
    other = languages.guess(code, "python") if len(code) < 100_000 else ""
    if other:
        return Report(depth="syntax", hits=[Hit("wrong-language", 1, 1, "", other)], guess=other)
    return Report(depth="syntax", hits=[Hit("syntax-error", line, line, "", detail)])


def named(tree: ast.AST, hit: Hit) -> Hit:
    """Ruff gives rows only; the symbol around a row is what keeps a finding's identity when lines move."""
    names: list[str] = []
    scope: ast.AST = tree
    while True:
        inner = next(
            (
                node
                for node in ast.iter_child_nodes(scope)
                if isinstance(node, ast.stmt) and node.lineno <= hit.line <= (node.end_lineno or node.lineno)
            ),
            None,
        )
        if inner is None:
            return Hit(hit.rule, hit.line, hit.end_line, ".".join(names), hit.detail)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(inner.name)
        scope = inner


def outline(nodes: Sequence[Placed]) -> Outline:  # noqa: C901 - one case a kind of node
    functions: list[Function] = []
    classes: list[str] = []
    calls: set[str] = set()
    used: set[str] = set()
    for node, _ in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = tuple(arg.arg for arg in listed)
                functions.append(Function(node.name, names, node.lineno, node.end_lineno or node.lineno))
                if any(_calls(inner, node.name) for inner in ast.walk(node)):
                    used.add("recursion")
                if isinstance(node, ast.AsyncFunctionDef):
                    used.add("async")
            case ast.ClassDef():
                classes.append(node.name)
                used.add("class")
            case ast.Call():
                name = called(node)
                if name:
                    calls.add(name)
            case ast.For() | ast.AsyncFor():
                used.add("for")
            case ast.While():
                used.add("while")
            case ast.Lambda():
                used.add("lambda")
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                used.add("comprehension")
            case ast.Try():
                used.add("try")
            case _:
                pass
    return Outline(
        tuple(functions[:MAX_NAMES]), tuple(classes[:MAX_NAMES]), tuple(sorted(calls)[:MAX_NAMES]), tuple(sorted(used))
    )


def called(node: ast.Call) -> str:
    """The last part of what is called: `append` for `items.append(x)`."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name[:60]
        case _:
            return ""


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and called(node) == name
