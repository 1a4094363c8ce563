"""Text that can be stored."""

import re

_LONE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)
