"""Text as users give it: ids and separators."""


def is_utf_8(text: str) -> bool:
    """Whether a string can be written as UTF-8; half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_separator(text: str) -> str:
    r"""A separator as a flag or a spec has it, where `\t` is a tab."""
    return text.replace("\\t", "\t")


def split_session(text: str, separator: str) -> list[str]:
    """The item ids of a session written as one string; separators may repeat.

    `hln_tf.retrieval.session_graph` follows the same rule inside the graph.
    """
    return [item for item in text.split(separator) if item]


def is_version(text: str) -> bool:
    """Whether a text is a version of a served model: ASCII digits, below 2**63."""
    # Python refuses to parse integers of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 100 and int(text) < 2**63
