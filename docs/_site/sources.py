"""Source text of the packages' functions, for pages that show it."""

import ast
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def source(name: str) -> str:
    """Return the source of a function or class by its dotted name, without its docstring.

    Raises:
      LookupError: There is none.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length]).with_suffix(".py")
        if path.is_file():
            text = path.read_text("utf-8")
            node: ast.AST = ast.parse(text)
            for part in parts[length:]:
                node = _member(node, part, name)
            return _without_docstring(text, node)
    raise LookupError(f"there is no module of {name}")


def _member(node: ast.AST, name: str, whole: str) -> ast.AST:
    kinds = (ast.FunctionDef, ast.ClassDef)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, kinds) and child.name == name:
            return child
    raise LookupError(f"{whole} is not there: {name} is missing")


def _without_docstring(text: str, node: ast.AST) -> str:
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    lines = text.splitlines()
    start = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
    if ast.get_docstring(node) is None:
        return textwrap.dedent("\n".join(lines[start : node.end_lineno]))
    docstring = node.body[0]
    shown = lines[start : docstring.lineno - 1] + lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(shown))
