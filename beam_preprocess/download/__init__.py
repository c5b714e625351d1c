"""Downloads of public logs, with the facts that are published of them."""
