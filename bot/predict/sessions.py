"""Whose what is kept of a reply is, when sessions are to be forgotten."""

from collections.abc import Collection


def is_of(session: int | None, sessions: Collection[int] | None) -> bool:
    """Whether what a session left goes when ``sessions`` are forgotten, None for all; what belongs to none goes
    with any."""
    return sessions is None or session is None or session in sessions
