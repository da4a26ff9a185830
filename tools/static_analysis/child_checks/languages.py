"""The languages read through tree-sitter: grammar, dialect and own rules of each, loaded when asked for."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

from tree_sitter import Language

from . import common_rules, cpp_rules, csharp_rules, go_rules, java_rules, javascript_rules, outlines, rust_rules
from .hits import Hit, Report, bounded, guarded
from .trees import Dialect, TooDeep, Tree

MOSTLY_WRONG = 0.4


class Grammar(NamedTuple):
    module: str
    function: str
    dialect: Dialect
    rules: Callable[[Tree], Iterator[Hit]]


def _nothing(_: Tree) -> Iterator[Hit]:
    yield from ()


GRAMMARS: dict[str, Grammar] = {
    "javascript": Grammar(
        "tree_sitter_javascript", "language", javascript_rules.dialect("javascript"), javascript_rules.run
    ),
    "typescript": Grammar(
        "tree_sitter_typescript", "language_typescript", javascript_rules.dialect("typescript"), javascript_rules.run
    ),
    "tsx": Grammar("tree_sitter_typescript", "language_tsx", javascript_rules.dialect("tsx"), javascript_rules.run),
    "java": Grammar("tree_sitter_java", "language", java_rules.DIALECT, java_rules.run),
    "go": Grammar("tree_sitter_go", "language", go_rules.DIALECT, go_rules.run),
    "rust": Grammar("tree_sitter_rust", "language", rust_rules.DIALECT, rust_rules.run),
    "cpp": Grammar("tree_sitter_cpp", "language", cpp_rules.DIALECT, cpp_rules.run),
    "csharp": Grammar("tree_sitter_c_sharp", "language", csharp_rules.DIALECT, csharp_rules.run),
    # Python has its own checks; its grammar is only here to recognise Python handed in under another name.
    "python": Grammar(
        "tree_sitter_python", "language", Dialect("python", frozenset({"function_definition"})), _nothing
    ),
}


def parse(code: str, language: str) -> Tree:
    grammar = GRAMMARS[language]
    pointer: object = getattr(import_module(grammar.module), grammar.function)()
    return Tree(Language(pointer), grammar.dialect, code)


def check(code: str, language: str) -> Report:
    try:
        tree = parse(code, language)
    except TooDeep:
        return Report(depth="syntax", hits=[Hit("too-deeply-nested", 1, 1)])
    errors = tree.syntax_errors()
    if errors:
        other = guess(code, language) if tree.error_share() >= MOSTLY_WRONG or len(errors) >= 3 else ""
        found = [Hit("wrong-language", 1, 1, "", other)] if other else errors
        return Report(depth="syntax", hits=bounded(found), outline=outlines.outline(tree), guess=other)
    hits = [*guarded(common_rules.run(tree)), *guarded(GRAMMARS[language].rules(tree))]
    return Report(parsed=True, depth="full", hits=bounded(hits), outline=outlines.outline(tree))


def guess(code: str, declared: str) -> str:
    """The one other language this text parses in without an error; empty when none or several do."""
    family = {"typescript", "tsx", "javascript"}
    candidates: list[str] = []
    for language in GRAMMARS:
        if language == declared or (declared in family and language in family):
            continue
        try:
            tree = parse(code, language)
        except TooDeep:
            continue
        if not tree.root.has_error and tree.root.named_child_count > 0:
            candidates.append(language)
    narrowed = [name for name in candidates if name not in {"typescript", "tsx"} or "javascript" not in candidates]
    return narrowed[0] if len(narrowed) == 1 else ""
