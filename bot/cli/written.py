"""A file that was asked for."""

from pathlib import Path

from ..errors import UserError


def write_file(path: Path, data: bytes) -> str:
    """Write it, and say so in a line. Raises UserError."""
    try:
        path.write_bytes(data)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{path} cannot be written: {getattr(error, 'strerror', error)}") from error
    return f"{path}: {len(data):,} bytes"
