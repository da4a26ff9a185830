"""Common learner bugs in Rust."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from .common_rules import statements
from .hits import Hit
from .trees import Dialect, Tree

DIALECT = Dialect(
    name="rust",
    functions=frozenset({"function_item", "closure_expression"}),
    classes=frozenset({"struct_item", "enum_item", "impl_item", "trait_item"}),
    exits=frozenset({"return_expression", "break_expression", "continue_expression"}),
    strings=frozenset({"string_literal", "raw_string_literal"}),
    loops=frozenset({"for_expression", "while_expression", "loop_expression"}),
)


def run(tree: Tree) -> Iterator[Hit]:
    for rule in (_unwraps, _macros, _ignored, _ranges, _booleans, _unsafe, _casts, _returns):
        yield from rule(tree)


def _unwraps(tree: Tree) -> Iterator[Hit]:
    for call in tree.of("call_expression"):
        function = call.child_by_field_name("function")
        around = tree.function_of(call)
        if function is None or function.type != "field_expression" or _is_test(tree, call):
            continue
        if (
            tree.field(function, "field") in {"unwrap", "expect"}
            and around is not None
            and tree.name_of(around) != "main"
        ):
            yield tree.hit("unwrap", call, tree.field(function, "field"))


def _is_test(tree: Tree, node: Node) -> bool:
    """Inside a function or module whose attribute names test; there a panic is the point."""
    for above in tree.ancestors(node):
        before = above.prev_named_sibling
        if (
            above.type in {"function_item", "mod_item"}
            and before is not None
            and before.type == "attribute_item"
            and "test" in tree.text(before)
        ):
            return True
    return False


def _macros(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("macro_invocation"):
        name = tree.field(node, "macro")
        if name in {"todo", "unimplemented"}:
            yield tree.hit("not-implemented", node, name)
        elif name == "panic":
            around = tree.function_of(node)
            if around is not None and "Result<" in tree.field(around, "return_type"):
                yield tree.hit("panic-for-error", node)


def _ignored(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("let_declaration"):
        value = node.child_by_field_name("value")
        if re.match(r"let\s+_\s*=", tree.text(node)) and value is not None and value.type == "call_expression":
            yield tree.hit("ignored-error", node, tree.text(node))


def _ranges(tree: Tree) -> Iterator[Hit]:
    for loop in tree.of("for_expression"):
        over, name = tree.field(loop, "value"), tree.field(loop, "pattern")
        indexed = re.search(rf"\[\s*{re.escape(name)}\s*\]", tree.field(loop, "body")) if name else None
        if re.search(r"\.\.=\s*[\w.]+\.len\(\)$", over) and indexed:
            yield tree.hit("loop-past-the-end", loop, over)
        elif re.fullmatch(r"0\s*\.\.\s*[\w.]+\.len\(\)", over) and indexed:
            yield tree.hit("index-loop", loop, over)


def _booleans(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("binary_expression"):
        if tree.field(node, "operator") in {"==", "!="} and tree.field(node, "right") in {"true", "false"}:
            yield tree.hit("boolean-comparison", node, tree.text(node))


def _unsafe(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("unsafe_block"):
        yield tree.hit("unsafe-block", node)
    for node in tree.of("static_item"):
        if any(child.type == "mutable_specifier" for child in node.children):
            yield tree.hit("mutable-global", node, tree.field(node, "name"))


def _casts(tree: Tree) -> Iterator[Hit]:
    for node in tree.of("type_cast_expression"):
        value = node.child_by_field_name("value")
        if (
            tree.field(node, "type") in {"u8", "i8", "u16", "i16"}
            and value is not None
            and value.type != "integer_literal"
        ):
            yield tree.hit("lossy-cast", node, tree.text(node))


def _returns(tree: Tree) -> Iterator[Hit]:
    for function in tree.of("function_item"):
        result = tree.field(function, "return_type")
        body = function.child_by_field_name("body")
        inner = statements(body) if body is not None else []
        if not result or result in {"()", "!"} or body is None:
            continue
        last = inner[-1] if inner else None
        if last is None or last.type == "let_declaration":
            yield tree.hit("missing-return", function, tree.name_of(function))
        elif last.type == "expression_statement" and tree.text(last).endswith(";"):
            value = last.named_children[0]
            leaving = {"return_expression", "macro_invocation", "loop_expression"}
            if value.type not in leaving and not tree.text(value).startswith(("process::exit", "std::process::exit")):
                yield tree.hit("semicolon-drops-value", last, tree.text(last))
