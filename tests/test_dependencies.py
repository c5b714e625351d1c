"""Other packages: their pinned versions, and the private members that are used, each listed."""

import ast
import importlib
import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs" / "reference" / "dependencies.md"
ROWS = [
    re.findall(r"`([^`]+)`|\| ([\w-]+) \|", line)
    for line in LIST.read_text("utf-8").splitlines()
    if line.startswith("| ") and "`" in line
]
USES = [(row[0][1], row[1][0], row[2][0]) for row in ROWS]


def test_the_list_is_read():
    assert len(USES) > 5
    assert {package for package, _, _ in USES} >= {"apache-beam", "keras-tuner", "tf-keras"}


@pytest.mark.parametrize(("package", "member", "path"), USES)
def test_a_listed_member_is_there_and_used(package, member, path):
    parts = member.split(".")
    assert parts[-1] in (ROOT / path).read_text("utf-8")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
            break
        except ModuleNotFoundError:
            continue
    for name in parts[length:-1]:
        found = getattr(found, name)
    # Some are set by a constructor and not by the class.
    source = Path(
        importlib.import_module(found.__module__).__file__
        if isinstance(found, type)
        else found.__file__
    ).read_text("utf-8")
    assert hasattr(found, parts[-1]) or f"self.{parts[-1]} =" in source


@pytest.mark.parametrize("package", sorted({package for package, _, _ in USES}))
def test_a_package_with_private_uses_has_an_upper_bound(package):
    assert re.search(rf'"{package}(\[\w+\])?>=[\d.]+,<[\d.]+"', (ROOT / "setup.py").read_text())


def test_the_pinned_versions_are_for_every_release_of_the_oldest_python():
    """Distributions have early ones, such as Debian 12 its 3.11.2."""
    pinned = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.M)
    assert len(pinned) > 100
    refused = []
    for name, version in pinned:
        found = importlib.metadata.distribution(name)
        needed = SpecifierSet(found.metadata.get("Requires-Python") or "")
        if found.version == version and not needed.contains("3.11.2"):
            refused.append((name, version, str(needed)))
    assert not refused


def private_uses(path):
    """Names with a leading underscore that are taken from anything but `self` and `cls`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls"):
                yield node.attr
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names]
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            private = re.compile(r"(^|\.)(src|python|_[a-z]\w*)(\.|$)")
            if any(private.search(each) for each in [module, *names]):
                yield module


@pytest.mark.parametrize("package", ["hln_tf", "beam_preprocess", "tuning", "serving"])
def test_private_uses_are_listed(package):
    # Public despite their names: NamedTuple's and the operating system's.
    allowed = {"_asdict", "_replace", "_fields", "_exit"}
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.name.endswith("_pb2.py"):
            continue  # generated, for the versions of protobuf that its first lines check
        name = str(path.relative_to(ROOT))
        # Its own methods and attributes, declared by the class or set by `self`.
        declared = r"(?m)def (_\w+)|self\.(_\w+)\s*[:=]|^    (_\w+): "
        own = set(re.findall(declared, path.read_text("utf-8")))
        own = {each for pair in own for each in pair}
        listed = {member.rpartition(".")[2] for _, member, file in USES if file == name}
        listed |= {member.rpartition(".")[0] for _, member, file in USES if file == name}
        for use in private_uses(path):
            is_listed = use in listed or any(each.startswith(f"{use}.") for each in listed)
            assert is_listed or use in allowed | own, f"{name} uses {use}, which {LIST} lacks"
