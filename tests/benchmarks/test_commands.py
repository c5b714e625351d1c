"""All commands: help without TensorFlow."""

import subprocess
import sys

import pytest

COMMANDS = (
    "table1",
    "models",
    "training",
    "gates",
    "prediction",
    "evaluation",
    "preprocessing",
    "serving",
    "grpc_servers",
    "accelerator",
    "accelerated_runs",
    "memory",
    "search",
    "start",
    "session_parallel",
    "denominators",
    "alternatives",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_command_and_imports_no_tensorflow(name):
    code = (
        f"import sys\nfrom benchmarks import {name}\n"
        f"try:\n    {name}.main(['--help'])\n"
        f"finally:\n    print('tensorflow imported:', 'tensorflow' in sys.modules)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert f"usage: python -m benchmarks.{name} [-h]" in outcome.stdout
    assert f"\n  python -m benchmarks.{name} " in outcome.stdout
    assert "tensorflow imported: False" in outcome.stdout
