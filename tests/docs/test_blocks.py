"""The code blocks of the documents: marked where they do not run, with flags that exist."""

import pytest
from command_parsers import parser_of
from documents import MEASUREMENTS, PAGES, ROOT, Block, blocks, commands

from beam_preprocess.runners import check_beam_flags
from hln_tf.common.errors import UsageError

# Not code to run, or code whose place is another file.
OTHER_LANGUAGES = {"csv", "html", "ini", "json", "promql", "text", "toml", "yaml"}


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def shells(pages):
    found = [block for page in pages for block in blocks(page) if block.language == "sh"]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.place)


def check(module, arguments):
    """Parse a command's arguments by its own parser; "..." are those that a page leaves out.

    What follows "--" is Beam's.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    check_beam_flags(arguments[end + 1 :])
    arguments = arguments[:end]
    given = [each for each in arguments if each != "..." and not each.startswith("--help")]
    # A file of --config is not there, so its model and its data set are unknown.
    parser = parser_of(module, [] if "--config" in given else given)
    if len(given) < len(arguments) or "--config" in given:
        for action in parser._actions:
            action.required = False
    if module == "beam_preprocess":
        check_beam_flags(parser.parse_known_args(given)[1])
    else:
        parser.parse_args(given)


@named(PAGES)
def test_a_block_names_its_language(page):
    for block in blocks(page):
        assert block.is_code or block.language in OTHER_LANGUAGES, block.place


@named(PAGES)
def test_python_compiles(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, block.place, "exec")


@shells([*PAGES, *MEASUREMENTS])
def test_flags_of_commands_exist(block):
    for module, arguments in commands(block.text):
        try:
            check(module, arguments)
        except UsageError as error:
            pytest.fail(f"{block.place}: python -m {module} {' '.join(arguments)}: {error}")


def test_there_are_commands_and_blocks_that_run():
    found = [block for page in PAGES for block in blocks(page)]
    assert sum(len(list(commands(block.text))) for block in found if block.language == "sh") > 20
    assert sum(block.is_code and not block.reason for block in found) > 20


def test_commands_are_found_in_shell_code():
    text = """\
export PORT=8501
for seed in 1 2; do
  python -m hln_tf.train --dataset sample --seed $seed \\
      --workdir "runs/$seed" > log.txt 2>&1 &
done && python3 -m hln_tf.report runs/* | head  # all of them
TF_CONFIG=x python -m pytest tests; python -m serving.serve --rest_api_port=$PORT ...
"""
    assert list(commands(text)) == [
        ("hln_tf.train", ["--dataset", "sample", "--seed", "1", "--workdir", "runs/1"]),
        ("hln_tf.report", ["runs/*"]),
        ("serving.serve", ["--rest_api_port=8501", "..."]),
    ]


@pytest.mark.parametrize(
    ("module", "wrong"),
    [
        ("hln_tf.train", ["--dataset", "sample", "--no_such_flag", "1"]),
        ("hln_tf.train", ["--dataset", "sample", "--model", "markov", "--leap_gate", "additive"]),
        ("hln_tf.train", ["--seed", "1"]),
        ("hln_tf.train", ["--config", "best_config.json", "--no_such_flag"]),
        (
            "beam_preprocess",
            ["--dataset", "sample", "--input", "a", "--output", "b", "--runer", "c"],
        ),
        ("beam_preprocess.sample", ["generate", "--session", "1"]),
        ("hln_tf.visualize", ["session", "--workdir", "runs/sample/hln"]),
        ("tuning.search", ["--dataset", "sample", "--max_trial", "1"]),
        ("serving.serve", ["--model_base_path", "models/hln", "--prot", "1"]),
    ],
)
def test_a_wrong_flag_is_found(module, wrong):
    with pytest.raises(UsageError):
        check(module, wrong)


def test_blocks_are_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: it takes an hour -->\n```sh\nmake all\n```\n\n1. A step:\n\n"
        "    ```python\n    print(1.25)\n    ```\n\n<!-- output -->\n```text\n1...\n```\n"
    )
    assert blocks(page) == [
        Block(page, 3, "sh", "make all", "it takes an hour"),
        Block(page, 9, "python", "print(1.25)", "", "1..."),
    ]
