"""Parsing of text from users: item ids, separators, versions."""


def is_utf_8(text: str) -> bool:
    """Check that a string can be encoded as UTF-8; half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_separator(text: str) -> str:
    r"""Read the separator of a flag or a spec, where `\t` is a tab."""
    return text.replace("\\t", "\t")


def split_session(text: str, separator: str) -> list[str]:
    """Split a session written as one string into its item ids; separators may repeat.

    `SessionGraph.split` of `hln_tf.retrieval` does the same in the graph.
    """
    return [item for item in text.split(separator) if item]


def is_version(text: str) -> bool:
    """Check that a text is a version of a served model: ASCII digits, below 2**63."""
    # Python refuses to parse integers of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 100 and int(text) < 2**63
