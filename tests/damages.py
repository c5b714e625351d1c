"""Damages of files."""

import json


def edit(path, **changes):
    """Change values of a JSON file; two underscores separate the names of nested objects."""
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        part = content
        for key in outer:
            part = part[key]
        part[last] = value
    path.write_text(json.dumps(content))


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garbage(path):
    path.write_bytes(b"x" * path.stat().st_size)
