"""Somebody's data as a file that Discord takes."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from ..errors import UserError

NAME = "my-data.json"
ROOM = 4096
"""Bytes that Discord's own form around a file may take."""


def packed(data: Mapping[str, Any], most: int) -> tuple[str, bytes]:
    """Name and bytes of a file of at most ``most`` bytes, compressed where it has to be. For a thread: it takes its
    time. Raises UserError where it is larger even so."""
    plain = json.dumps(data, ensure_ascii=False, indent=1).encode()
    if len(plain) <= most - ROOM:
        return NAME, plain
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, plain)
    small = buffer.getvalue()
    if len(small) > most - ROOM:
        raise UserError(
            f"What I keep of you has {len(small) / 1e6:.1f} MB, and I may send {most / 1e6:.1f} MB at most here. "
            f"Whoever runs me can hand it to you: `glasshead log export user:{data['person']}`."
        )
    return f"{NAME}.zip", small
