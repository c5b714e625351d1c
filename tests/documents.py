"""The documents, their code blocks, and the package's commands in those."""

import dataclasses
import itertools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# Pages whose blocks run, and pages of measurements, whose commands take hours.
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MEASUREMENTS = sorted((ROOT / "benchmarks").glob("*.md"))
PACKAGES = ("beam_preprocess", "benchmarks", "hln_tf", "serving", "tuning")

_FENCE = re.compile(r" *```")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_OUTPUT = "<!-- output -->"


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page.
        line: Line of its first line of text, from 1.
        language: The word after the fence, or "".
        text: What it contains.
        reason: Why it is not run, or "".
        output: What running it must print, or None.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""
    output: str | None = None

    @property
    def place(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_code(self):
        return self.language in ("python", "sh")


def blocks(page):
    """Read the fenced blocks of a page; an output belongs to the block before it."""
    found, before, lines = [], "", page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if not _FENCE.match(line):
            before = line.strip() or before
            number += 1
            continue
        indent, language = len(line) - len(line.lstrip()), line.strip().strip("`")
        start = number + 1
        number = next(n for n in range(start, len(lines)) if lines[n].strip() == "```")
        text = "\n".join(each[indent:] for each in lines[start:number])
        reason = _NOT_RUN.fullmatch(before)
        block = Block(page, start + 1, language, text, reason[1] if reason else "")
        if before == _OUTPUT:
            assert found and found[-1].is_code, f"{block.place}: an output of no block"
            assert not found[-1].reason, f"{block.place}: an output of a block that is not run"
            found[-1] = dataclasses.replace(found[-1], output=text)
        else:
            found.append(block)
        before = ""
        number += 1
    return found


def commands(text):
    """Find `python -m` commands of the package in shell code, as module and arguments."""
    values = dict(re.findall(r"\bfor (\w+) in (\S+)", text))
    values |= dict(re.findall(r"(?m)^\s*(?:export )?(\w+)=(\S+)$", text))
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"\d?[<>]{1,2}(?:&\d|[ \t]*\S+)", "", text)  # redirections
    text = re.sub(r"\$\{?(\w+)\}?", lambda name: values.get(name[1], "1"), text)
    for found in re.finditer(rf"\bpython3? -m ((?:{'|'.join(PACKAGES)})\b[\w.]*)(.*)", text):
        words = shlex.shlex(found[2], posix=True, punctuation_chars=True)
        words.whitespace_split = True
        yield found[1], list(itertools.takewhile(_is_argument, words))


def _is_argument(word):
    return not re.fullmatch("[;&|()]+", word)
