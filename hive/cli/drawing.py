"""How the tree of a search plan is drawn for people. It must not know where the plan comes from.

Branches that differ in values alone are drawn as one, with all their values, and it is said how many they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from hive.errors import SequenceError
from hive.planner.outline import Branch, changes, folded
from hive.planner.pieces import ConstantForm, Form
from hive.planner.search_plan import Node

__all__ = ["counted", "drawn", "show"]

VALUES_SHOWN_MAX = 4
"""Of the values that branches drawn as one have; a longer list hides the tree."""

CHANGES_SHOWN_MAX = 4
"""Of the steps at which values change on a branch; a cyclic sequence has one every few steps."""

DEPTH_MAX = 16
"""Branches that leave branches; four columns each, and what lies deeper has no room left."""

PLAIN_WIDTH = 160
"""Characters of a line where there is no terminal that has a width."""

Note = Callable[[Sequence[Branch]], str]
"""What is said of branches drawn as one, behind their changes."""


def drawn(title: str, roots: Sequence[Branch], note: Note) -> Tree:
    """The tree, as deep as `DEPTH_MAX` branches."""
    top = Tree(Text(title))
    left = [(top, 1, group) for group in reversed(folded(roots))]
    while left:
        above, depth, group = left.pop()
        if depth > DEPTH_MAX:
            above.add(Text("… and more that leave here", style="dim"))
            continue
        alike = f"{len(group)} alike, each " if len(group) > 1 else ""
        here = above.add(Text(f"{described(group)}  ").append(alike + note(group), style="dim"))
        children = folded(child for branch in group for child in branch.children)
        left += [(here, depth + 1, each) for each in reversed(children[:1] if depth == DEPTH_MAX else children)]
    return top


def show(tree: Tree) -> None:
    """Print it."""
    Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(tree)


def described(group: Sequence[Branch]) -> str:
    """The steps of branches of one shape, and what changes on their way."""
    first = group[0]
    words = []
    for place, (node, end) in enumerate(zip(first.nodes, first.ends(), strict=True)):
        if place == CHANGES_SHOWN_MAX:
            words.append(f"{counted(len(first.nodes) - place, 'more change')} until {first.nodes[-1].start}")
            break
        alike = [branch.nodes[place] for branch in group]
        changed = ", ".join(change(name, alike, end) for name in changes(node))
        words.append(changed if place == 0 else f"at {node.start} {changed}")
    return f"{first.start}–{first.end}  {'; '.join(words)}"


def change(name: str, nodes: Sequence[Node], end: int) -> str:
    """What a hyper-parameter changes from and to, in nodes of one shape."""
    before = list(dict.fromkeys(kind(node.parent.forms[name]) for node in nodes if node.parent is not None))
    after = listed((course(node.forms[name], node.start, end) for node in nodes), before[0] if len(before) == 1 else "")
    return f"{name} {listed((word, '') for word in before)} → {after}" if before else f"{name} {after}"


def kind(form: Form) -> str:
    """A constant's value; a curve's kind."""
    return valued(form, 0) if isinstance(form, ConstantForm) else str(form.to_data()[0])


def course(form: Form, start: int, end: int) -> tuple[str, str]:
    """A constant's value; a curve's kind, and what it runs from and to."""
    return kind(form), "" if isinstance(form, ConstantForm) else f"{valued(form, start)}…{valued(form, end - 1)}"


def listed(courses: Iterable[tuple[str, str]], said: str = "") -> str:
    """Different ones, each once; the kind of a curve only where it is another than the one said before."""
    different = list(dict.fromkeys(courses))
    few = len(different) <= VALUES_SHOWN_MAX
    words = []
    for word, span in different if few else different[: VALUES_SHOWN_MAX - 1]:
        words.append(f"{word} {span}".rstrip() if word != said or not span else span)
        said = word
    return " | ".join(words if few else [*words, f"… ({len(different)})"])


def valued(form: Form, step: int) -> str:
    """A form's value at a step, short."""
    try:
        value = form.value(step)
    except SequenceError:
        return "too large"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) and value.isidentifier() else repr(value)


def counted(number: int, word: str) -> str:
    """A number of things: `1 trial`, `2,000 trials`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
