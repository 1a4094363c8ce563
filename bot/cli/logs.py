"""Where log lines go: standard error, one line each, never a secret."""

import logging
import sys

from ..config import Settings


def start_logging(settings: Settings) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    # They log every request and every heartbeat at info; what matters of them comes at warning.
    if settings.log.level == "debug":
        return
    for noisy in ("discord", "httpx", "httpcore", "uvicorn", "alembic", "asyncio", "glasshead.llama.cpp"):
        logging.getLogger(noisy).setLevel(
            logging.WARNING if settings.log.level == "info" else settings.log.level.upper()
        )
