"""Common learner bugs in JavaScript and TypeScript."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from .hits import Hit
from .switches import missing_break
from .trees import Dialect, Tree

FUNCTIONS = frozenset(
    {
        "function_declaration",
        "method_definition",
        "arrow_function",
        "function_expression",
        "generator_function_declaration",
    }
)


def dialect(name: str) -> Dialect:
    return Dialect(
        name=name,
        functions=FUNCTIONS,
        classes=frozenset({"class_declaration"}),
        blocks=frozenset({"statement_block", "program"}),
        catch="catch_clause",
        strings=frozenset({"string", "template_string"}),
        loops=frozenset({"for_statement", "for_in_statement", "while_statement", "do_statement"}),
    )


def run(tree: Tree) -> Iterator[Hit]:
    yield from missing_break(tree)
    for rule in (
        _comparisons,
        _var,
        _missing_await,
        _body_of_response,
        _calls,
        _callbacks,
        _const_reassigned,
        _for_in,
        _typescript,
    ):
        yield from rule(tree)


def _comparisons(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("binary_expression"):
        operator, left, right = (tree.field(node, key) for key in ("operator", "left", "right"))
        if operator in {"==", "!=", "===", "!=="} and "NaN" in {left, right}:
            yield tree.hit("nan-comparison", node, tree.text(node))
        elif operator in {"==", "!="} and "null" not in {left, right}:
            yield tree.hit("loose-equality", node, tree.text(node))


def _var(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("variable_declaration"):
        if node.children and node.children[0].type == "var":
            yield tree.hit("var-declaration", node, tree.text(node))


def _missing_await(tree: Tree) -> Iterator[Hit]:
    waiting = {tree.name_of(node) for node in tree.of(*FUNCTIONS) if any(c.type == "async" for c in node.children)}
    waiting = (waiting | {"fetch"}) - {""}
    for call in tree.of("call_expression"):
        around, above = tree.function_of(call), tree.parent(call)
        if tree.field(call, "function") not in waiting or around is None or above is None:
            continue
        if not any(child.type == "async" for child in around.children):
            continue
        if above.type in {"expression_statement", "variable_declarator", "binary_expression", "template_substitution"}:
            name = tree.field(above, "name") if above.type == "variable_declarator" else ""
            if not name or not _awaited_later(name, tree.text(around)):
                yield tree.hit("missing-await", call, tree.field(call, "function"))


def _body_of_response(tree: Tree) -> Iterator[Hit]:
    """`response.json()` is a promise of its own: waiting for the response does not bring its body."""
    for call in tree.of("call_expression"):
        around, above = tree.function_of(call), tree.parent(call)
        owner, _, method = tree.field(call, "function").rpartition(".")
        if method not in {"json", "text", "blob", "arrayBuffer", "formData"} or around is None or above is None:
            continue
        name = owner.strip("() ").removeprefix("await").strip()
        fetched = re.search(rf"\b{re.escape(name)}\s*=\s*(await\s+)?fetch\(", tree.text(around)) if name else None
        if (
            fetched
            and above.type == "variable_declarator"
            and not _awaited_later(tree.field(above, "name"), tree.text(around))
        ):
            yield tree.hit("missing-await", call, method)


def _awaited_later(name: str, text: str) -> bool:
    """A promise kept in a variable may be waited for further down; waiting for a part of it is not that."""
    word = re.escape(name)
    waits = (
        rf"await\s+{word}\b(?!\s*[.(\[])",
        rf"Promise\.\w+\([^;]*\b{word}\b",
        rf"\breturn\s+{word}\s*[;\n}}]",
        rf"\b{word}\.(then|catch)\b",
    )
    return any(re.search(each, text) for each in waits)


def _calls(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        name = tree.field(call, "function")
        if name in {"eval", "Function"}:
            yield tree.hit("eval-call", call, name)
        elif name == "document.write":
            yield tree.hit("markup-from-text", call, name)
        elif name.endswith(".sort") and tree.field(call, "arguments") == "()":
            yield tree.hit("default-sort", call, tree.text(call))
    for node in tree.of("assignment_expression", "augmented_assignment_expression"):
        target = tree.field(node, "left")
        value = node.child_by_field_name("right")
        if target.endswith((".innerHTML", ".outerHTML")) and value is not None and value.type != "string":
            yield tree.hit("markup-from-text", node, target)


def _callbacks(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        method = tree.field(call, "function").rsplit(".", 1)[-1]
        arguments = call.child_by_field_name("arguments")
        if method not in {"map", "filter", "reduce", "find", "some", "every"} or arguments is None:
            continue
        callback = arguments.named_children[0] if arguments.named_children else None
        body = callback.child_by_field_name("body") if callback is not None and callback.type in FUNCTIONS else None
        if (
            body is not None
            and body.type == "statement_block"
            and not any(True for _ in tree.below(body, "return_statement", "throw_statement"))
        ):
            yield tree.hit("callback-without-return", call, method)


def _const_reassigned(tree: Tree) -> Iterator[Hit]:
    declared: dict[str, set[str]] = {}
    for node in tree.of("variable_declarator"):
        above = tree.parent(node)
        kind = above.children[0].type if above is not None and above.children else ""
        declared.setdefault(tree.field(node, "name"), set()).add(kind)
    parameters = {
        tree.text(name) for listed in tree.of("formal_parameters") for name in tree.below(listed, "identifier")
    }
    for node in tree.of("assignment_expression", "augmented_assignment_expression", "update_expression"):
        name = tree.field(node, "left") or tree.field(node, "argument")
        if declared.get(name) == {"const"} and name not in parameters:
            yield tree.hit("const-reassigned", node, name)


def _for_in(tree: Tree) -> Iterator[Hit]:
    arrays = {
        tree.field(node, "name")
        for node in tree.of("variable_declarator")
        if (value := node.child_by_field_name("value")) is not None and value.type == "array"
    }
    arrays |= {
        tree.field(node, "pattern") or tree.field(node, "name")
        for node in tree.of("required_parameter", "optional_parameter", "variable_declarator")
        if re.search(r"\[\]$|^:\s*(Readonly)?Array<", tree.field(node, "type"))
    }
    for loop in tree.of("for_in_statement"):
        over = loop.child_by_field_name("right")
        if (
            tree.field(loop, "operator") == "in"
            and over is not None
            and (over.type == "array" or tree.text(over) in arrays)
        ):
            yield tree.hit("for-in-array", loop, tree.text(over))


def _typescript(tree: Tree) -> Iterator[Hit]:
    if tree.dialect.name not in {"typescript", "tsx"}:
        return
    for node in tree.of("predefined_type"):
        if tree.text(node) == "any":
            yield tree.hit("any-type", node)
    for comment in tree.of("comment"):
        if re.search(r"@ts-(ignore|nocheck)", tree.text(comment)):
            yield tree.hit("silenced-checker", comment)
    for node in tree.of("non_null_expression"):
        yield tree.hit("non-null-assertion", node, tree.text(node))
    yield from _typed_without_return(tree)


def _typed_without_return(tree: Tree) -> Iterator[Hit]:
    for function in tree.of("function_declaration", "method_definition"):
        result = tree.field(function, "return_type").lstrip(": ")
        body: Node | None = function.child_by_field_name("body")
        if (
            body is None
            or not result
            or re.match(r"(void|never|any|undefined|unknown|Promise<void>|asserts)\b", result)
        ):
            continue
        if not any(True for _ in tree.below(body, "return_statement", "throw_statement", "yield_expression")):
            yield tree.hit("missing-return", function, tree.name_of(function))
