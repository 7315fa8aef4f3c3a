"""What a module's top-level statements say, bind, use and change, told from their syntax alone.

`canonical` is the text of a piece of syntax without what has no meaning: comments, layout, line numbers, docstrings,
and empty fields, which one version of Python writes into its trees and another does not. `statements` cuts a module
into its parts.

Which names are a statement's own and which are the module's is not worked out here but left to Python's compiler, whose
code says it exactly (an instruction that loads a global name means the module's).

This module must not know what a trainer is, or where files are.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType

__all__ = ["Effects", "Import", "Statement", "body_of", "canonical", "imports_in", "statements"]

MUTATORS = frozenset(
    """
    add append appendleft clear discard extend extendleft insert manual_seed manual_seed_all pop popitem popleft
    register remove reverse rotate seed set setdefault sort update use_deterministic_algorithms
    """.split()  # noqa: SIM905  (a list of forty lines is no clearer)
)
"""Methods that change what they are called on by their very name, and so also where their result is kept."""

QUIET = frozenset(["print"])
"""Functions that change none of their arguments."""

SKIPPED_FIELDS = frozenset(["ctx", "type_comment", "kind"])

LOADS = frozenset(["LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"])
BINDS = frozenset(["STORE_NAME", "DELETE_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"])

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True, slots=True)
class Effects:
    """What running code may do to objects that other code holds.

    Attributes:
        changes: the names whose objects it may change in place; a function that it calls for no result is among them.
        calls: the functions that it calls by their names.
    """

    changes: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Statement:
    """A top-level statement, or one name of an import.

    Attributes:
        node: its syntax.
        binds: the module's names that running it binds or unbinds; `*` for an import of all names.
        uses: the module's names that it, or what it defines, reads or binds.
        effects: what running it does.
        body_effects: what running the function or class that it defines does.
    """

    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]
    effects: Effects = field(default=Effects())
    body_effects: Effects = field(default=Effects())


def canonical(node: ast.AST) -> str:
    """The text of a piece of syntax; equal texts mean the same to Python, but for docstrings."""
    fields = []
    for name, value in ast.iter_fields(node):
        if name in SKIPPED_FIELDS or (value is None and not isinstance(node, ast.Constant)):
            continue
        if name == "body" and isinstance(node, ast.ClassDef | Function):
            value = without_docstring(value)
        if value != [] or isinstance(node, ast.Constant):
            fields.append(f"{name}={canonical_value(value)}")
    return f"{type(node).__name__}({', '.join(fields)})"


def canonical_value(value: object) -> str:
    """The text of what stands in a field of a node."""
    if isinstance(value, ast.AST):
        return canonical(value)
    if isinstance(value, list):
        return f"[{', '.join(canonical_value(item) for item in value)}]"
    return repr(value)  # tells 1, 1.0 and True apart


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """A body without the text it may begin with."""
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def body_of(tree: ast.Module) -> list[ast.stmt]:
    """What runs when the module is imported: its statements without docstring and main guard."""
    return list(unguarded(without_docstring(tree.body)))


def unguarded(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements without `if __name__ == "__main__"`; what stands under its `else` runs on import."""
    for node in body:
        if isinstance(node, ast.If) and is_main_test(node.test):
            yield from unguarded(node.orelse)
        else:
            yield node


def is_main_test(test: ast.expr) -> bool:
    """Whether an expression is `__name__ == "__main__"`, either way round."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = {canonical(test.left), canonical(test.comparators[0])}
    return sides == {canonical(ast.Name("__name__")), canonical(ast.Constant("__main__"))}


def imports_in(node: ast.AST) -> Iterator[Import]:
    """The import statements in a piece of syntax, in functions too."""
    return (found for found in ast.walk(node) if isinstance(found, ast.Import | ast.ImportFrom))


def statements(tree: ast.Module) -> list[Statement]:
    """What runs when the module is imported, each import cut into one statement per name."""
    return [read(part) for node in body_of(tree) for part in parts_of(node)]


def parts_of(node: ast.stmt) -> Iterator[ast.stmt]:
    """An import's names one by one, so that importing one more changes none of the others."""
    if isinstance(node, ast.Import):
        yield from (ast.Import(names=[alias]) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.module != "__future__":
            yield from (ast.ImportFrom(module=node.module, names=[alias], level=node.level) for alias in node.names)
    else:
        yield node


def read(node: ast.stmt) -> Statement:
    """One statement with its names."""
    tree = ast.fix_missing_locations(ast.Module(body=[node], type_ignores=[]))
    # dont_inherit: with this module's own `annotations` import, names in annotations would not be seen.
    code = compile(tree, "<statement>", "exec", dont_inherit=True, optimize=0)
    uses = frozenset(used(code))
    if isinstance(node, ast.ClassDef | Function):
        return Statement(node, frozenset([node.name]), uses, body_effects=effects_of(node.body, uses, deep=True))
    return Statement(node, frozenset(bound(code)), uses, effects=effects_of([node], uses))


def effects_of(body: Sequence[ast.stmt], uses: frozenset[str], *, deep: bool = False) -> Effects:
    """What running statements does to the module's names among `uses`; with `deep` also what they define does."""
    nodes = list(walk(body, deep))
    changes = frozenset(name for node in nodes for name in changed_by(node))
    calls = frozenset(node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return Effects(changes & uses, calls & uses)


def used(code: CodeType) -> Iterator[str]:
    """The module's names that code, and the code of what it defines, reads or binds."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in LOADS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from used(constant)


def bound(code: CodeType) -> Iterator[str]:
    """The module's names that running code binds or unbinds."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in BINDS:
            yield instruction.argval
        elif instruction.opname == "IMPORT_STAR" or instruction.argrepr == "INTRINSIC_IMPORT_STAR":
            yield "*"


def walk(nodes: Iterable[ast.AST], deep: bool) -> Iterator[ast.AST]:
    """All nodes below and with these; without `deep` not those of functions and classes, which run another time."""
    for node in nodes:
        if deep or not isinstance(node, ast.ClassDef | Function | ast.Lambda):
            yield node
            yield from walk(ast.iter_child_nodes(node), deep)


def changed_by(node: ast.AST) -> Iterator[str]:
    """The names at the roots of what one node, its parts apart, may change in place."""
    if isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield from roots([node])
    elif isinstance(node, ast.AugAssign):
        yield from roots([node.target])
    elif isinstance(node, ast.For | ast.AsyncFor) and set(roots([node.target])) & set(changed_in(node.body)):
        yield from roots([node.iter])  # what the loop's variable stands for in turn
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        if not (isinstance(call.func, ast.Name) and call.func.id in QUIET):
            yield from roots([call.func, *call.args, *(keyword.value for keyword in call.keywords)])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_mutator(node.func.attr):
        yield from roots([node.func])


def changed_in(body: Iterable[ast.AST]) -> Iterator[str]:
    """What statements, with their parts, may change in place."""
    return (name for node in walk(body, deep=False) for name in changed_by(node))


def is_mutator(method: str) -> bool:
    """Whether a method's name says that it changes what it is called on."""
    return method in MUTATORS or method.startswith("set_")


def roots(expressions: Iterable[ast.expr]) -> Iterator[str]:
    """The names from which attributes, items and calls start: `a` of `a.b[0].c()`."""
    for expression in expressions:
        node = expression
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            yield node.id
