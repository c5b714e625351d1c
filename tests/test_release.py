"""What names the version and the Pythons agrees: package, changelog, citation, metadata, CI."""

import ast
import re

import pytest
import yaml
from commands import ROOT

from hln_tf.common import __version__


def setup_arguments():
    """The literal arguments of setup.py by name."""
    (call,) = (
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    return {
        each.arg: each.value.value if isinstance(each.value, ast.Constant) else each.value
        for each in call.keywords
    }


@pytest.fixture(scope="module")
def pythons():
    """The versions of Python that the classifiers name."""
    classifiers = ast.literal_eval(setup_arguments()["classifiers"])
    return [found[1] for each in classifiers if (found := re.search(r":: (3\.\d+)$", each))]


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))


def test_the_changelog_and_the_citation_have_the_version_and_its_date():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert released[0][0] == __version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (citation["version"], str(citation["date-released"])) == released[0]


def test_the_pythons_are_those_of_the_metadata(pythons):
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", setup_arguments()["python_requires"]).groups()
    assert pythons == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_continuous_integration_has_each_python_with_locked_and_lowest_versions(pythons, workflow):
    matrix = workflow["jobs"]["check"]["strategy"]["matrix"]
    assert matrix == {"python": pythons, "versions": ["locked", "lowest"]}


@pytest.mark.parametrize("image", ["train", "serve"])
def test_an_image_installs_an_extra_from_the_files_that_its_context_admits(image, workflow):
    source = (ROOT / "docker" / f"{image}.Dockerfile").read_text("utf-8")
    extras = re.findall(r"ARG EXTRAS=(\S+)", source) or re.findall(r'"\.\[(\w+)\]"', source)
    known = re.findall(r'^    "(\w+)": \[', (ROOT / "setup.py").read_text("utf-8"), re.MULTILINE)
    assert extras and set(extras[0].split(",")) <= set(known)
    admitted = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert all((ROOT / each).exists() for each in admitted)
    needed = {"setup.py", "pyproject.toml", "README.md", "requirements.lock"}
    assert needed | {"hln_tf", "beam_preprocess", "tuning", "serving"} <= set(admitted)
    assert image in workflow["jobs"]["containers"]["strategy"]["matrix"]["image"]
