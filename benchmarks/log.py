"""The log's figures: `python -m benchmarks.log_generator FILE`, then `python -m benchmarks.log FILE`.

Reading is measured on FILE; what writes is measured on a copy beside it, which is removed; llm's log on copies of
some conversations. Each part's figures are kept beside FILE, so that parts can be run apart: ``--only page``.
Writes ``benchmarks/results/log.md`` and ``log.svg``, from the newest figures of every part.
"""

import argparse
import asyncio
import datetime
import json
import os
import platform
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from glasshead.store import Store

from .engine import RESULTS
from .log_figures import Figure, chart, table
from .log_page import pages
from .log_reading import exporting, reading, sizes
from .log_writing import writing

PARTS = ("reading", "export", "size", "page", "write", "peer")
TITLES = ("Reading", "Exporting", "Size", "The page", "Writing and erasing", "Beside simonw/llm's log")


async def measure(options: argparse.Namespace, part: str) -> list[Figure]:
    if part == "write":
        return await writing(options.path, options.seconds)
    store = await Store.open(options.path, writable=False)
    work: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
        "reading": lambda: reading(store),
        "export": lambda: exporting(store, options.seconds),
        "size": lambda: sizes(store, options.path.stat().st_size),
        "page": lambda: pages(store),
        "peer": lambda: compared(store, options.peer_turns),
    }
    try:
        return await work[part]()
    finally:
        await store.close()


async def compared(store: Store, turns: int) -> list[Figure]:
    from .log_peer import peer

    return await peer(store, turns)


def report(path: Path, kept: dict[str, list[Figure]]) -> str:
    with sqlite3.connect(path) as log:
        turns, sessions = (
            log.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("turn", "session")
        )
    out = [
        "# The log\n",
        f"`python -m benchmarks.log`, {datetime.date.today()}, on {os.cpu_count()} cores ({platform.machine()}), "
        f"SQLite {sqlite3.sqlite_version}: {turns:,} generated turns with traces in {sessions:,} sessions, "
        f"{path.stat().st_size / 1e9:.1f} GB. The machine's load average over the last quarter of an hour was "
        f"{os.getloadavg()[2]:.1f}.\n",
        "![Each figure as a share of its goal](log.svg)\n",
    ]
    for part, title in zip(PARTS, TITLES, strict=True):
        if part in kept:
            out += [f"## {title}\n", table(kept[part])]
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; several may be named")
    parser.add_argument("--seconds", type=float, default=20, help="of logging, and of each export")
    parser.add_argument("--peer-turns", type=int, default=5000, help="turns of the conversations llm logs, too")
    options = parser.parse_args()
    beside = options.path.with_name(options.path.name + ".figures.json")
    saved = json.loads(beside.read_text()) if beside.exists() else {}
    kept = {part: [Figure(**values) for values in figures] for part, figures in saved.items()}
    for part in options.only or PARTS:
        kept[part] = asyncio.run(measure(options, part))
        beside.write_text(
            json.dumps({name: list(map(asdict, figures)) for name, figures in kept.items()}, indent=1)
        )
    (RESULTS / "log.md").write_text(report(options.path, kept))
    (RESULTS / "log.svg").write_text(chart([figure for part in PARTS for figure in kept.get(part, ())]))


if __name__ == "__main__":
    main()
