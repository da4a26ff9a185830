"""Cuts source code where its functions and classes begin, with tree-sitter, so that broken code is cut as well."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Final, cast

from tree_sitter import Language, Node, Parser

from store.chunking import Chunk, pieces

_GRAMMARS: Final = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "c": ("tree_sitter_cpp", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
}
_DEEPEST: Final = 32
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class _Part:
    first: int
    last: int
    names: tuple[str, ...]
    inside: tuple[str, ...]


def code(path: str, language: str, text: str, limit: int) -> list[Chunk]:
    """Cut a source file; whole functions stay together while they fit. Unknown languages are cut by blank lines."""
    lines = text.split("\n")  # as tree-sitter and editors count; splitlines() knows eight more line ends
    parser = _parser(language)
    if parser is None or len(text) <= limit:
        return list(pieces(path, lines, 0, len(lines) - 1, limit))
    root = parser.parse(text.encode("utf-8", "replace")).root_node
    chunks: list[Chunk] = []
    for part in _packed(lines, _parts(root, lines, 0, len(lines) - 1, (), limit, 0), limit):
        place = ".".join([*part.inside, ", ".join(part.names[:_NAMES_SHOWN])]) if part.names else ".".join(part.inside)
        chunks.extend(pieces(f"{path} {place}".strip(), lines, part.first, part.last, limit))
    return chunks


def _parts(
    node: Node, lines: Sequence[str], first: int, last: int, inside: tuple[str, ...], limit: int, depth: int
) -> Iterator[_Part]:
    """Divide the lines of `node` among its children, each with the comments before it; divide long children again."""
    start = first
    for child in node.named_children:
        end = min(child.end_point.row, last)
        if end < start or child.type == "comment":
            continue
        name = _name(child)
        if _size(lines, start, end) > limit and child.named_child_count and depth < _DEEPEST:
            yield from _parts(child, lines, start, end, (*inside, *name), limit, depth + 1)
        else:
            yield _Part(start, end, name, inside)
        start = end + 1
    if start <= last:
        yield _Part(start, last, (), inside)


def _packed(lines: Sequence[str], parts: Iterator[_Part], limit: int) -> Iterator[_Part]:
    waiting: _Part | None = None
    for part in parts:
        if waiting and waiting.inside == part.inside and _size(lines, waiting.first, part.last) <= limit:
            waiting = _Part(waiting.first, part.last, (*waiting.names, *part.names), part.inside)
            continue
        if waiting:
            yield waiting
        waiting = part
    if waiting:
        yield waiting


def _size(lines: Sequence[str], first: int, last: int) -> int:
    return sum(len(line) + 1 for line in lines[first : last + 1])


def _name(node: Node) -> tuple[str, ...]:
    for candidate in (node, node.child_by_field_name("definition"), node.child_by_field_name("declaration")):
        named = candidate.child_by_field_name("name") if candidate else None
        if named and named.text:
            return (named.text.decode("utf-8", "replace")[:80],)
    return ()


@lru_cache(maxsize=16)
def _parser(language: str) -> Parser | None:
    if language not in _GRAMMARS:
        return None
    module, function = _GRAMMARS[language]
    grammar = cast(Callable[[], object], getattr(import_module(module), function))
    return Parser(Language(grammar()))
