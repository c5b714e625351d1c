"""The rooms of the package: imports go down one list, without circles, through public names."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("train", "evaluate", "compare", "recommend", "report", "visualize")
# From the top down; a module imports from its own row and from those below it.
ROWS = (
    COMMANDS,
    ("recommender",),
    ("export",),
    ("training",),
    ("retrieval",),
    ("analysis",),
    ("models",),
    ("tasks", "metrics", "layers"),
    ("data",),
    ("common",),
)
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
PACKAGES = ("hln_tf", "beam_preprocess", "tuning", "serving", "benchmarks")


def modules(package):
    """The modules of a package by dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


ALL = {name: path for package in PACKAGES for name, path in modules(package).items()}


def imports(path):
    """The names that a module imports, in functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    """The room of a dotted name of hln_tf; None for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROW else None


def imported_modules(path):
    """The modules of the repository that a module imports; a name's module, not the name."""
    for name in imports(path):
        while name and name not in ALL:
            name = name.rpartition(".")[0]
        if name:
            yield name


def test_the_top_of_the_package_has_commands_and_front_door_alone():
    top = {path.stem for path in (ROOT / "hln_tf").glob("*.py")}
    assert top == {*COMMANDS, "recommender", "__init__"}
    rooms = {path.parent.name for path in (ROOT / "hln_tf").glob("*/__init__.py")}
    assert rooms == set(ROW) - {*COMMANDS, "recommender"}


def test_common_is_small():
    found = [path for path in (ROOT / "hln_tf" / "common").glob("*.py") if path.stem != "__init__"]
    assert len(found) <= 8


@pytest.mark.parametrize("name", modules("hln_tf"))
def test_imports_go_down(name):
    own = room(name)
    if own is None:
        return
    for imported in imports(ALL[name]):
        if imported.startswith("hln_tf") and room(imported):
            assert ROW[room(imported)] >= ROW[own], f"{name} imports {imported}"


@pytest.mark.parametrize("name", modules("hln_tf"))
def test_only_commands_know_the_other_packages(name):
    others = tuple(package for package in PACKAGES if package != "hln_tf")
    if room(name) not in COMMANDS:
        assert not [other for other in imports(ALL[name]) if other.split(".")[0] in others]


@pytest.mark.parametrize("package", ["beam_preprocess", "tuning", "serving"])
def test_other_packages_use_public_names(package):
    for name, path in modules(package).items():
        for imported in imports(path):
            if imported.startswith("hln_tf.") and room(imported) not in (None, "data", "common"):
                # A room's own name, `hln_tf.training.RunConfig`, is public; a module's is not.
                assert imported.count(".") <= 2, f"{name} imports {imported}"
                assert imported not in ALL, f"{name} imports the module {imported}"


def test_there_are_no_circles():
    graph = {name: set(imported_modules(path)) - {name} for name, path in ALL.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            path.append(name)
            for imported in graph[name]:
                # A package's `__init__` is imported by all in it; its names are lazy.
                if not name.startswith(f"{imported}."):
                    visit(imported)
            path.pop()
            done.add(name)

    for name in graph:
        visit(name)


def test_no_file_is_long():
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in ALL.items()}
    assert not {name: length for name, length in lengths.items() if length > 400}
