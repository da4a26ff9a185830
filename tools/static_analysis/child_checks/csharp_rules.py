"""Common learner bugs in C#."""

import re
from collections.abc import Iterator

from .common_rules import missing_return
from .hits import Hit
from .trees import Dialect, Tree

DIALECT = Dialect(
    name="csharp",
    functions=frozenset({"method_declaration", "constructor_declaration", "local_function_statement"}),
    classes=frozenset({"class_declaration", "struct_declaration", "interface_declaration", "record_declaration"}),
    blocks=frozenset({"block", "switch_section"}),
    catch="catch_clause",
    call="invocation_expression",
    strings=frozenset({"string_literal", "verbatim_string_literal", "raw_string_literal"}),
    loops=frozenset({"for_statement", "foreach_statement", "while_statement", "do_statement"}),
)
RESOURCES = re.compile(r"^(File|Memory)?Stream(Reader|Writer)?$|^(FileStream|HttpClient|SqlConnection|TcpClient)$")
PURE_STRING = {"Trim", "ToUpper", "ToLower", "Replace", "Substring", "Insert", "Remove", "PadLeft", "PadRight"}


def run(tree: Tree) -> Iterator[Hit]:
    for rule in (_catches, _async, _missing_await, _resources, _division, _discarded, _string_in_loop, _returns):
        yield from rule(tree)


def _catches(tree: Tree) -> Iterator[Hit]:
    for clause in tree.of("catch_declaration"):
        if tree.field(clause, "type") in {"Exception", "System.Exception"}:
            yield tree.hit("broad-catch", clause, tree.field(clause, "type"))
    for node in tree.of("throw_statement"):
        clause = tree.inside(node, "catch_clause")
        caught = next(tree.below(clause, "catch_declaration"), None) if clause is not None else None
        if (
            caught is not None
            and node.named_children
            and tree.text(node.named_children[0]) == tree.field(caught, "name")
        ):
            yield tree.hit("lost-stack", node, tree.text(node))


def _async(tree: Tree) -> Iterator[Hit]:
    for method in tree.of("method_declaration"):
        marked = any(child.type == "modifier" and tree.text(child) == "async" for child in method.children)
        result = tree.field(method, "returns") or tree.field(method, "type")
        if marked and result == "void":
            yield tree.hit("async-void", method, tree.name_of(method))
    for node in tree.of("member_access_expression"):
        value = node.child_by_field_name("expression")
        if tree.field(node, "name") == "Result" and value is not None and value.type == "invocation_expression":
            yield tree.hit("blocking-wait", node, tree.text(node))
    for call in tree.of("invocation_expression"):
        if re.search(r"Async\([^)]*\)\.Wait$|\.GetAwaiter\(\)\.GetResult$", tree.field(call, "function")):
            yield tree.hit("blocking-wait", call, tree.text(call))


def _missing_await(tree: Tree) -> Iterator[Hit]:
    waiting = {
        tree.name_of(method)
        for method in tree.of("method_declaration", "local_function_statement")
        if re.match(
            r"(System\.Threading\.Tasks\.)?(Value)?Task\b", tree.field(method, "returns") or tree.field(method, "type")
        )
    }
    for statement in tree.of("expression_statement"):
        call = statement.named_children[0] if statement.named_children else None
        if call is not None and call.type == "invocation_expression":
            name = tree.field(call, "function").rsplit(".", 1)[-1]
            if name in waiting or name.endswith("Async"):
                yield tree.hit("missing-await", call, name)


def _resources(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("object_creation_expression"):
        if not RESOURCES.match(tree.field(node, "type")):
            continue
        declared = tree.inside(node, "local_declaration_statement", "using_statement")
        around = tree.function_of(node)
        if declared is None or tree.text(declared).removeprefix("await ").startswith("using"):
            continue
        if ".Dispose()" not in tree.text(around or tree.root) and ".Close()" not in tree.text(around or tree.root):
            yield tree.hit("unclosed-resource", node, tree.field(node, "type"))


def _division(tree: Tree) -> Iterator[Hit]:
    whole = {
        tree.field(name, "name")
        for declaration in tree.of("variable_declaration")
        if tree.field(declaration, "type") in {"int", "long", "short", "byte"}
        for name in tree.below(declaration, "variable_declarator")
    } | {tree.field(p, "name") for p in tree.of("parameter") if tree.field(p, "type") in {"int", "long"}}
    for declaration in tree.of("variable_declaration"):
        if tree.field(declaration, "type") not in {"double", "float", "decimal"}:
            continue
        for division in tree.below(declaration, "binary_expression"):
            sides = (tree.field(division, "left"), tree.field(division, "right"))
            if tree.field(division, "operator") == "/" and all(s in whole or re.fullmatch(r"\d+", s) for s in sides):
                yield tree.hit("integer-division", division, tree.text(division))


def _discarded(tree: Tree) -> Iterator[Hit]:
    strings = set(re.findall(r"\bstring\s+(\w+)", tree.text(tree.root)))
    for statement in tree.of("expression_statement"):
        call = statement.named_children[0] if statement.named_children else None
        if call is not None and call.type == "invocation_expression":
            owner, _, method = tree.field(call, "function").rpartition(".")
            if method in PURE_STRING and owner in strings:
                yield tree.hit("discarded-result", call, method)


def _string_in_loop(tree: Tree) -> Iterator[Hit]:
    strings = set(re.findall(r'\b(?:string|var)\s+(\w+)\s*=\s*(?:""|string\.Empty)', tree.text(tree.root)))
    for node in tree.of("assignment_expression"):
        if (
            any(child.type == "+=" for child in node.children)
            and tree.field(node, "left") in strings
            and tree.inside(node, *DIALECT.loops)
        ):
            yield tree.hit("string-grown-in-loop", node, tree.field(node, "left"))


def _returns(tree: Tree) -> Iterator[Hit]:
    for method in tree.of("method_declaration", "local_function_statement"):
        result = tree.field(method, "returns") or tree.field(method, "type")
        lazy = any(True for _ in tree.below(method, "yield_statement"))
        waits = any(child.type == "modifier" and tree.text(child) == "async" for child in method.children)
        if not lazy and not (waits and result == "Task") and missing_return(tree, method, result):
            yield tree.hit("missing-return", method, tree.name_of(method))
