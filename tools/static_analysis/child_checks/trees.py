"""A tree-sitter tree made easy to ask: nodes by type, parents, enclosing symbol, syntax errors."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Language, Node, Parser

from .hits import Hit, short

MAX_DEPTH = 400
MAX_SYNTAX_HITS = 5


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one grammar names the things that rules shared by several languages look for."""

    name: str
    functions: frozenset[str]
    classes: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset({"block"})
    exits: frozenset[str] = frozenset({"return_statement", "break_statement", "continue_statement", "throw_statement"})
    assignment: str = "assignment_expression"
    catch: str = ""
    call: str = "call_expression"
    strings: frozenset[str] = frozenset({"string_literal"})
    loops: frozenset[str] = frozenset({"for_statement", "while_statement", "do_statement"})


class TooDeep(Exception):
    """The code nests deeper than any person writes; walking it further would only burn time."""


class Tree:
    """One pass over the parsed code; `node.parent` walks from the root each time, hence the own parent table."""

    def __init__(self, language: Language, dialect: Dialect, code: str) -> None:
        self.source = code.encode()
        self.dialect = dialect
        self.root = Parser(language).parse(self.source).root_node
        self.by_type: defaultdict[str, list[Node]] = defaultdict(list)
        self._parents: dict[int, Node] = {}
        self._walk()

    def _walk(self) -> None:
        stack: list[tuple[Node, int]] = [(self.root, 0)]
        while stack:
            node, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise TooDeep
            self.by_type[node.type].append(node)
            for child in reversed(node.children):
                self._parents[child.id] = node
                stack.append((child, depth + 1))

    def of(self, *types: str) -> list[Node]:
        found = [node for kind in types for node in self.by_type.get(kind, ())]
        return sorted(found, key=lambda node: node.start_byte) if len(types) > 1 else found

    def text(self, node: Node | None) -> str:
        return "" if node is None else self.source[node.start_byte : node.end_byte].decode(errors="replace")

    def field(self, node: Node, name: str) -> str:
        return self.text(node.child_by_field_name(name))

    def parent(self, node: Node) -> Node | None:
        return self._parents.get(node.id)

    def ancestors(self, node: Node) -> Iterator[Node]:
        above = self.parent(node)
        while above is not None:
            yield above
            above = self.parent(above)

    def inside(self, node: Node, *types: str) -> Node | None:
        """The nearest node of these types around `node`, not looking past the function it is in."""
        for above in self.ancestors(node):
            if above.type in types:
                return above
            if above.type in self.dialect.functions:
                return None
        return None

    def function_of(self, node: Node) -> Node | None:
        return next((above for above in self.ancestors(node) if above.type in self.dialect.functions), None)

    def below(self, node: Node, *types: str) -> Iterator[Node]:
        """Every node of these types under `node`, in source order."""
        wanted = set(types)
        stack = list(reversed(node.children))
        while stack:
            each = stack.pop()
            if not wanted or each.type in wanted:
                yield each
            stack.extend(reversed(each.children))

    def name_of(self, function: Node) -> str:
        named = function.child_by_field_name("name")
        if named is None:
            declarator = function.child_by_field_name("declarator")
            while declarator is not None and declarator.child_by_field_name("declarator") is not None:
                declarator = declarator.child_by_field_name("declarator")
            named = declarator
        if named is None:
            above = self.parent(function)
            named = (
                above.child_by_field_name("name") if above is not None and above.type == "variable_declarator" else None
            )
        return short(self.text(named))

    def symbol(self, node: Node) -> str:
        names = [
            self.name_of(above)
            for above in self.ancestors(node)
            if above.type in self.dialect.functions or above.type in self.dialect.classes
        ]
        return ".".join(reversed([name for name in names if name]))

    def hit(self, rule: str, node: Node, detail: str = "", *, whole: bool = False) -> Hit:
        first = node.start_point.row + 1
        last = node.end_point.row + 1 if whole else first
        return Hit(rule, first, max(first, last), self.symbol(node), short(detail))

    def syntax_errors(self) -> list[Hit]:
        if not self.root.has_error:
            return []
        found = [node for nodes in self.by_type.values() for node in nodes if node.is_error or node.is_missing]
        outermost = sorted(found, key=lambda node: (node.start_byte, -node.end_byte))
        hits: list[Hit] = []
        covered = -1
        for node in outermost:
            if node.start_byte < covered:
                continue
            covered = node.end_byte
            detail = node.type if node.is_missing else short(self.text(node))
            hits.append(self.hit("syntax-missing" if node.is_missing else "syntax-error", node, detail))
        return hits[:MAX_SYNTAX_HITS] or [Hit("syntax-error", 1, 1)]

    def error_share(self) -> float:
        """Which part of the code the parser could not make sense of, 0 to 1."""
        if self.root.is_error:
            return 1.0
        bad = sum(node.end_byte - node.start_byte for node in self.root.children if node.is_error)
        return bad / max(1, self.root.end_byte - self.root.start_byte)
