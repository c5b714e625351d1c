"""Installations without packages of the extra `serving`."""

import ast
import sys

import pytest
from commands import ROOT, finish, start

from serving import settings

# Packages that hln-tf itself needs, among them those of TensorFlow.
CORE = {"google", "hln_tf", "lazy_loader", "numpy", "serving", "tensorflow"}
RUN_WITHOUT = """
import runpy, sys
packages, module, sys.argv = sys.argv[1], sys.argv[2], sys.argv[2:]
sys.modules.update(dict.fromkeys(packages.split(",")))
runpy.run_module(module, run_name="__main__")
"""
REST, GRPC = "http://127.0.0.1:1/v1/models/hln", "grpc://127.0.0.1:1/hln"


def run_without(packages, module, *arguments):
    return finish(start(RUN_WITHOUT, ",".join(packages), module, *arguments))


@pytest.mark.parametrize("package", settings.SERVER_PACKAGES)
def test_serve_names_the_extra(tmp_path, package):
    (tmp_path / "models" / "1").mkdir(parents=True)
    outcome = run_without([package], "serving.serve", "--model_base_path", tmp_path / "models")
    assert_names_the_extra(outcome, package)


@pytest.mark.parametrize(
    ("package", "url"),
    [
        *((package, GRPC) for package in settings.GRPC_CLIENT_PACKAGES),
        *((package, REST) for package in settings.REST_CLIENT_PACKAGES),
    ],
)
def test_query_names_the_extra(package, url):
    outcome = run_without([package], "serving.query", "--url", url, "--session", "i1")
    assert_names_the_extra(outcome, package)


def assert_names_the_extra(outcome, package):
    sentence = outcome.sentence(code=1)
    assert f"({package})" in sentence and "pip install 'hln-tf[serving]'" in sentence


def test_every_import_is_of_hln_tf_or_of_the_extra():
    imported = set()
    for path in (ROOT / "serving").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - CORE
    assert packages <= {
        *settings.SERVER_PACKAGES,
        *settings.GRPC_CLIENT_PACKAGES,
        *settings.REST_CLIENT_PACKAGES,
    }


@pytest.mark.parametrize("module", ["serving.serve", "serving.query", "serving.export"])
def test_help_needs_neither_the_extra_nor_tensorflow(module):
    packages = (*settings.SERVER_PACKAGES, *settings.REST_CLIENT_PACKAGES, "tensorflow")
    outcome = run_without(packages, module, "--help")
    assert outcome.code == 0 and f"usage: python -m {module}" in outcome.out, outcome.err


@pytest.mark.slow
def test_export_needs_no_package_of_the_extra(workdir, tmp_path):
    """Apart from urllib3, which TensorFlow needs as well."""
    outcome = run_without(
        settings.SERVER_PACKAGES,
        "serving.export",
        "--workdir",
        workdir,
        "--output",
        tmp_path / "models",
    )
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "models" / "1" / "saved_model.pb").exists()
