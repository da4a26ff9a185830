"""Common learner bugs in C++."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from .common_rules import missing_return
from .hits import Hit
from .switches import missing_break
from .trees import Dialect, Tree

DIALECT = Dialect(
    name="cpp",
    functions=frozenset({"function_definition", "lambda_expression"}),
    classes=frozenset({"class_specifier", "struct_specifier"}),
    blocks=frozenset({"compound_statement", "case_statement"}),
    catch="catch_clause",
    strings=frozenset({"string_literal", "raw_string_literal"}),
    loops=frozenset({"for_statement", "for_range_loop", "while_statement", "do_statement"}),
)
UNSAFE = {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "scanf"}


def run(tree: Tree) -> Iterator[Hit]:
    yield from missing_break(tree)
    for rule in (
        _memory,
        _unsafe_calls,
        _catches,
        _uninitialised,
        _dangling,
        _underflow,
        _text_pointers,
        _namespace,
        _returns,
    ):
        yield from rule(tree)


def _memory(tree: Tree) -> Iterator[Hit]:
    released = " ".join(tree.text(node) for node in tree.of("delete_expression"))
    arrays = set(re.findall(r"delete\s*\[\s*\]\s*(\w+)", released))
    singles = set(re.findall(r"delete\s+(\w+)", released))
    for node in tree.of("new_expression"):
        holder = tree.inside(node, "init_declarator", "assignment_expression")
        name = ""
        if holder is not None:
            name = (tree.field(holder, "declarator") or tree.field(holder, "left")).lstrip("*& ").split(" ")[-1]
        many = node.child_by_field_name("declarator") is not None
        if (many and name in singles) or (not many and name in arrays):
            yield tree.hit("delete-mismatch", node, name)
        elif tree.inside(node, "argument_list", "return_statement") is None and name not in arrays | singles:
            yield tree.hit("new-without-delete", node, name or tree.text(node))
    if "free(" not in tree.text(tree.root):
        for call in tree.of("call_expression"):
            if tree.field(call, "function") in {"malloc", "calloc", "std::malloc"}:
                yield tree.hit("new-without-delete", call, tree.field(call, "function"))


def _unsafe_calls(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        name = tree.field(call, "function").removeprefix("std::")
        if name == "scanf" and "%s" not in tree.text(call):
            continue
        if name in UNSAFE:
            yield tree.hit("unbounded-copy", call, name)
        elif name in {"system", "popen"} and not re.match(r'\w+\(\s*"[^"]*"', tree.text(call)):
            yield tree.hit("shell-command", call, name)


def _catches(tree: Tree) -> Iterator[Hit]:
    for clause in tree.of("catch_clause"):
        listed = clause.child_by_field_name("parameters")
        for parameter in listed.named_children if listed is not None else []:
            if (
                parameter.type == "parameter_declaration"
                and "&" not in tree.text(parameter)
                and "*" not in tree.text(parameter)
            ):
                yield tree.hit("catch-by-value", clause, tree.text(parameter))


def _uninitialised(tree: Tree) -> Iterator[Hit]:
    for declaration in tree.of("declaration"):
        if (
            tree.function_of(declaration) is None
            or "static" in tree.text(declaration)
            or "extern" in tree.text(declaration)
        ):
            continue
        kind = declaration.child_by_field_name("type")
        if kind is None or kind.type not in {"primitive_type", "sized_type_specifier"}:
            continue
        for name in declaration.children_by_field_name("declarator"):
            if name.type == "identifier" and not _filled_by_reading(tree, declaration, tree.text(name)):
                yield tree.hit("uninitialised", declaration, tree.text(name))


def _filled_by_reading(tree: Tree, declaration: Node, name: str) -> bool:
    """`int n; std::cin >> n;` is the usual way to read a number; so is a plain assignment before any use."""
    around = tree.function_of(declaration)
    later = tree.source[declaration.end_byte : around.end_byte if around else None].decode(errors="replace")
    first = re.search(rf"\b{re.escape(name)}\b", later)
    if first is None:
        return True
    before, after = later[: first.start()].rstrip(), later[first.end() :].lstrip()
    return (
        before.endswith((">>", "&"))
        or (after.startswith("=") and not after.startswith("=="))
        or "getline(" in before[-40:]
    )


def _dangling(tree: Tree) -> Iterator[Hit]:
    for leaving in tree.of("return_statement"):
        value = leaving.named_children[0] if leaving.named_children else None
        around = tree.function_of(leaving)
        if (
            value is None
            or around is None
            or value.type != "pointer_expression"
            or not tree.text(value).startswith("&")
        ):
            continue
        name = tree.field(value, "argument")
        local = re.search(
            rf"(?<!static )\b(int|double|float|char|auto|std::\w+(<[^>]*>)?)\s+{re.escape(name)}\b", tree.text(around)
        )
        if local and "static" not in tree.text(around):
            yield tree.hit("dangling-return", leaving, name)


def _underflow(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("binary_expression"):
        if (
            tree.field(node, "operator") == "-"
            and re.search(r"(\.|->)(size|length)\(\)$", tree.field(node, "left"))
            and tree.inside(node, "for_statement", "condition_clause") is not None
        ):
            yield tree.hit("unsigned-underflow", node, tree.text(node))


def _text_pointers(tree: Tree) -> Iterator[Hit]:
    pointers = set(re.findall(r"\bchar\s*\*\s*(?:const\s+)?(\w+)", tree.text(tree.root)))
    for node in tree.of("binary_expression"):
        sides = [node.child_by_field_name("left"), node.child_by_field_name("right")]
        literal = any(side is not None and side.type == "string_literal" for side in sides)
        if (
            tree.field(node, "operator") in {"==", "!="}
            and literal
            and any(tree.text(side) in pointers for side in sides)
        ):
            yield tree.hit("string-identity", node, tree.text(node))


def _namespace(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("using_declaration"):
        if re.match(r"using\s+namespace\s+std", tree.text(node)):
            yield tree.hit("using-namespace", node)


def _returns(tree: Tree) -> Iterator[Hit]:
    for function in tree.of("function_definition"):
        if tree.name_of(function).split("(")[0] != "main" and missing_return(
            tree, function, tree.field(function, "type")
        ):
            yield tree.hit("missing-return", function, tree.name_of(function))
