"""Runs the code blocks of a page in order, in this directory; a process of `tests/docs`.

Takes a JSON list of blocks on standard input: place, language, text, and what each must print.
"""

import doctest
import json
import linecache
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback

_BACKGROUND_SERVER = re.compile(r"python -m serving\.serve\b.*&$", re.MULTILINE)
_REST_PORT = re.compile(r"--rest_api_port[= ](\d+)")
_SECONDS_TO_START = 120


def run_python(block, names):
    """Run a block in the page's namespace; tracebacks and AutoGraph find its source."""
    lines = block["text"].splitlines(keepends=True)
    linecache.cache[block["place"]] = (len(block["text"]), None, lines, block["place"])
    exec(compile(block["text"], block["place"], "exec"), names)
    sys.stdout.flush()


def run_shell(block):
    """Run a block by bash, and wait for a server that it starts in the background."""
    joined = block["text"].replace("\\\n", " ")
    subprocess.run(["bash", "-eo", "pipefail", "-c", joined], check=True)
    if _BACKGROUND_SERVER.search(joined):
        port = _REST_PORT.search(joined)
        await_port(int(port[1]) if port else 8501)


def await_port(port):
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def run(block, names):
    """Run a block and return what it printed."""
    with tempfile.TemporaryFile() as printed:
        terminal = os.dup(1)
        os.dup2(printed.fileno(), 1)
        try:
            run_python(block, names) if block["language"] == "python" else run_shell(block)
        finally:
            os.dup2(terminal, 1)
            os.close(terminal)
        printed.seek(0)
        return printed.read().decode()


def main():
    """Run the blocks; the exit code is 1 if one fails or prints something else."""
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    names = {"__name__": "__main__"}
    for block in json.load(sys.stdin):
        try:
            printed = run(block, names)
        except BaseException:
            sys.exit(f"{block['place']} fails:\n{traceback.format_exc()}")
        expected = block["output"]
        if expected is not None and not checker.check_output(f"{expected}\n", printed, flags):
            sys.exit(f"{block['place']} prints\n{printed}\nand not\n{expected}")


if __name__ == "__main__":
    main()
