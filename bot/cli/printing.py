"""JSON as commands print it: a contract for programs, harmless on a terminal."""

import json
import re
from typing import Any

_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is and a terminal would act upon: C1 controls, marks that turn the direction of text."""


def print_json(value: Any) -> None:
    """One line, whose characters stand for themselves: what could act on a terminal is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    print(_ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
