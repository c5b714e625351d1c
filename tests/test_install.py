"""The package without its extras installs and does its main job in an empty environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "install.sh"


@pytest.mark.slow
def test_install_and_main_job_in_an_empty_environment(tmp_path):
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed, prepared, trained, exported and recommended" in done.stdout
