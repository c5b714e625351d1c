"""The notebooks of `examples`, executed, as Markdown."""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

from hln_tf.common.files import atomic_write

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# Executed notebooks, by a digest of them and of what they run.
CACHE = ROOT / "build" / "notebooks"
_PACKAGES = ("hln_tf", "beam_preprocess")
# What pandas writes before a table; the site has styles of its own.
_TABLE_STYLE = re.compile(r"<style scoped>.*?</style>\s*<table[^>]*>", re.DOTALL)


def as_markdown(path: Path) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook with its outputs to Markdown.

    Args:
      path: The notebook, stored without outputs.

    Returns:
      The page, and its pictures by name.
    """
    notebook = nbformat.reads(_executed(path), as_version=4)
    settings = Config()
    settings.MarkdownExporter.exclude_input_prompt = True
    settings.ExtractOutputPreprocessor.output_filename_template = (
        f"{path.stem}_{{cell_index}}_{{index}}{{extension}}"
    )
    text, resources = MarkdownExporter(config=settings).from_notebook_node(notebook)
    return _TABLE_STYLE.sub("<table>", text), resources["outputs"]


def _executed(path: Path) -> str:
    """Return a notebook with its outputs, executed unless that was done before."""
    cached = CACHE / f"{path.stem}-{_digest(path)}.ipynb"
    if not cached.is_file():
        notebook = nbformat.read(path, as_version=4)
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, environment):
            # By files instead of ports, which other users of the machine could read.
            kernel = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
            resources = {"metadata": {"path": folder}}
            client = NotebookClient(notebook, km=kernel, timeout=1200, resources=resources)
            client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # what goes to standard error is progress
                errors = "".join(out.text for out in cell.outputs if out.get("name") == "stderr")
                if "WARNING:tensorflow" in errors:
                    raise RuntimeError(f"{path} warns in cell {cell.id}:\n{errors}")
                cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for older in CACHE.glob(f"{path.stem}-*.ipynb"):
            older.unlink(missing_ok=True)
        with atomic_write(cached) as temporary:
            nbformat.write(notebook, temporary)
    return cached.read_text("utf-8")


def _digest(path: Path) -> str:
    """Return a digest of a notebook and of the packages that it runs."""
    digest = hashlib.sha256(path.read_bytes())
    for package in _PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
