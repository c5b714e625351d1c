"""The field's terms, one for each thing: names, docstrings, messages, help and documents use them.

A dialect word that comes back is named with its file and line, and with the term to use.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hln_tf", "beam_preprocess", "tuning", "serving", "benchmarks", "examples")
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs")
# Public docstrings when the words were settled; there may be more, not fewer.
PUBLIC_DOCSTRINGS = 1077

# A word as it must not stand, and the term for it. Names are split at underscores and capitals.
BANNED = {
    r"mend(s|ed|ing|able)?": "fix",
    r"told|untold": "report, log; set, unset",
    r"tells?|telling": "report, say, return",
    r"kept|keeps": "retained, retention; stored",
    r"leapt": "leap probability, skipped",
    r"beside": "next to, in addition to",
    r"stands?|stood": "be, lie",
    r"leavings": "abandoned files",
    r"heard": "received, attended",
    r"by its letter|to the letter": "as printed",
    r"in place of": "instead of",
    r"held(?!-| out)": "locked, stored",
    r"written whole": "written atomically",
    r"item numbers?|numbers? of items? from 1": "item index",
    r"raw (item )?ids?": "item id",
    r"(?<!return )sequences": "examples, sessions",  # Keras' `return_sequences`
    r"samples(?! of| from)": "examples",
    r"drawn": "sampled, plotted",
    r"(query|item) vectors?": "query embedding, item embedding",
    r"vectors? of (the |a )?(items?|quer(y|ies))": "item embedding, query embedding",
    r"saved states?": "checkpoint",
    r"judges?|judged": "validate",
    r"carr(y|ied) over": "warm start",
    r"pulled to zero": "weight decay",
    r"interactions?": "click",
    r"gaps?(?! in| of the|:)": "session timeout",
    r"unheard": "unknown",
}
# Where a banned word is another thing's proper name or plain English.
ALLOWED = {
    ("CHANGELOG.md", "gap"): "the flag's older name",
    ("hln_tf/data/protocol_settings.py", "gap"): "the alias of a flag's older name",
    ("beam_preprocess/read.py", "tell"): "a file object's own method",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(f'(?:{word})' for word in BANNED)})\b", re.IGNORECASE)


def words(name):
    """A name as text: `mean_retention` and `MeanRetention` are `mean retention`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")


def texts(path):
    """Line numbers and texts of a file in which the words matter."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == getattr(
            tokenize, "FSTRING_MIDDLE", None
        ):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, words(line)
        elif token.type == tokenize.NAME:
            yield token.start[0], words(token.string)


def files(place):
    path = ROOT / place
    if path.is_file():
        return [path]
    endings = (".py", ".md", ".html", ".js", ".ipynb")
    return sorted(file for file in path.rglob("*") if file.suffix in endings)


@pytest.mark.parametrize("place", [*PACKAGES, *DOCUMENTS])
def test_no_dialect(place):
    found = []
    for path in files(place):
        name = str(path.relative_to(ROOT))
        for line, text in texts(path):
            for match in PATTERN.finditer(text):
                word = match.group().lower()
                if (name, word) not in ALLOWED:
                    term = next(t for w, t in BANNED.items() if re.fullmatch(w, word, re.I))
                    found.append(f"{name}:{line}: {word!r}: use {term}")
    assert not found, "\n".join(found)


def public_docstrings():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
                if isinstance(node, kinds) and not getattr(node, "name", "").startswith("_"):
                    docstring = ast.get_docstring(node)
                    if docstring:
                        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
                        yield place, docstring


def test_a_docstring_says_what_the_thing_does():
    questions = re.compile(r"(What|How|Whether|Which|Where|When|Who|Why)\b")
    found = [place for place, docstring in public_docstrings() if questions.match(docstring)]
    assert not found, "the first line is imperative or a noun phrase:\n" + "\n".join(found)


def test_public_docstrings_do_not_get_fewer():
    assert sum(1 for _ in public_docstrings()) >= PUBLIC_DOCSTRINGS
