"""The distributions hold what they should, and the wheel does its job in an empty environment."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "install.sh"
PACKAGES = ("hln_tf", "beam_preprocess", "tuning", "serving")
TOP = {
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md"),
    *("pyproject.toml", "requirements.lock", "setup.py"),
}
# For TensorFlow Serving, which a user starts from the sources.
CONFIGURATION = {".config", ".yaml", ".yml"}


def packaged():
    """The files of the packages, by path in the repository."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(ROOT)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The directory in which the script ran, and what it printed."""
    directory = tmp_path_factory.mktemp("installed")
    done = subprocess.run(
        ["bash", str(SCRIPT), str(directory)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, done.stdout


@pytest.mark.slow
def test_the_wheel_does_its_job_in_an_empty_environment(installed):
    assert "installed, prepared, trained, exported, recommended and served" in installed[1]


@pytest.mark.slow
def test_the_source_distribution_has_the_packages_and_the_documents(installed):
    (path,) = (installed[0] / "dist").glob("*.tar.gz")
    with tarfile.open(path) as opened:
        names = {each.name.partition("/")[2] for each in opened.getmembers() if each.isfile()}
    written = {"PKG-INFO", "setup.cfg"}
    names = {name for name in names if ".egg-info/" not in name} - written
    assert names == TOP | set(map(str, packaged()))


@pytest.mark.slow
def test_the_wheel_has_the_packages_alone(installed):
    (path,) = (installed[0] / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert names == {str(path) for path in packaged() if path.suffix not in CONFIGURATION}
