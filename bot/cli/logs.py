"""Where log lines go: standard error, one line each, never a secret."""

import logging
import sys

from ..config import Settings


def start_logging(settings: Settings, *, quiet: bool = False) -> None:
    """``quiet``: where a person talks, lines of level info would only stand in the conversation."""
    level = "warning" if quiet and settings.log.level == "info" else settings.log.level
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    if level == "info":  # these log every request and every heartbeat; what matters of them comes at warning
        for noisy in ("discord", "httpx", "httpcore", "uvicorn", "alembic", "asyncio", "glasshead.llama.cpp"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
