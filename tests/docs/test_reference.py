"""The reference has every public name, command and flag, and pages show the sources they name."""

import re

import pytest
from command_parsers import commands, parser_of
from commands_page import page as commands_page
from documents import DOCS, ROOT
from sources import source

PACKAGES = ("hln_tf", "hln_tf.layers", "hln_tf.metrics", "hln_tf.models", "hln_tf.tasks")
API = "\n".join(path.read_text("utf-8") for path in (DOCS / "reference" / "api").glob("*.md"))


@pytest.mark.parametrize("package", [*PACKAGES, "serving", "tuning"])
def test_public_names_are_in_the_reference(package):
    stub = (ROOT / package.replace(".", "/") / "__init__.pyi").read_text("utf-8")
    # Not constants, nor packages, which have pages.
    names = set(re.findall(r"^from \.\S+ import \w+ as (\w*[a-z]\w*)$", stub, re.MULTILINE))
    documented = set(re.findall(r"^::: (?:\w+\.)*(\w+)$", API, re.MULTILINE))
    assert names and names <= documented, names - documented


def test_commands_are_found():
    found = set(commands())
    assert {"beam_preprocess", "beam_preprocess.sample", "hln_tf.train", "tuning.search"} <= found
    assert {"serving.export", "serving.serve", "serving.query", "hln_tf.compare"} <= found
    for path in (ROOT / "beam_preprocess").rglob("__main__.py"):
        assert ".".join(path.relative_to(ROOT).parent.parts) in found


def flags_of(parser):
    """The flags of a parser and of its subcommands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, dict):
            for subparser in action.choices.values():
                yield from flags_of(subparser)


@pytest.fixture(scope="module")
def page():
    return commands_page()


@pytest.mark.parametrize("command", list(commands()))
def test_the_page_of_commands_has_all_flags(command, page):
    section = page.split(f"## python -m {command} {{")[1].split("\n## ")[0]
    for flag in set(flags_of(parser_of(command))) - {"-h", "--help"}:
        assert re.search(rf"`{flag}[ `]", section), flag
    # A flag has its description below it, on one line, so no Markdown is lost.
    assert section.count("\n:   ") == len(re.findall(r"(?m)^`.*\n:   \S", section))


def test_the_page_has_the_flags_of_each_model(page):
    assert "`--num_groups INT`{ #hln_tf.train-hln-num_groups }" in page
    assert "#### --model s_pop" in page


def test_a_page_shows_the_source_that_it_names():
    text = source("hln_tf.layers.recurrent_ops.gru_step")
    assert text.startswith("def gru_step(") and '"""' not in text
    assert text.endswith("candidate, recurrent)")
    assert source("hln_tf.layers.leap_gate.LeapGate.is_sampled").startswith("def is_sampled")
    for wrong in ("hln_tf.layers.leap_gate.LeapGate.gone", "hln_tf.layers.gone", "gone.module"):
        with pytest.raises(LookupError):
            source(wrong)
