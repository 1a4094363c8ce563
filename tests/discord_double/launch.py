"""Run an unmodified bot against the double: ``python launch.py URL MODULE [ARGUMENTS]``.

discord.py keeps its addresses in three class attributes; they are set before the bot's own module runs.
A module given as a path ending in .py is run as a script. With LOOP_WATCH in the environment, the longer steps of
its event loop are written to that file at the end.
"""

import asyncio
import atexit
import json
import os
import runpy
import sys
import time
from pathlib import Path

NOTICEABLE = 0.01


def point(url: str) -> None:
    """Let discord.py, in this process, talk to the double at ``url``."""
    import yarl
    from discord.asset import Asset
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    Route.BASE = f"{url}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url.replace("http", "ws", 1) + "/gateway/")
    Asset.BASE = url


def watch(path: Path) -> None:
    """One JSON line for each longer step: when it began, its seconds of processor, its seconds, what it was."""
    run, seen = asyncio.Handle._run, []

    def timed(handle: asyncio.Handle) -> None:
        at, processor, clock = time.time(), time.thread_time(), time.perf_counter()
        run(handle)
        processor, clock = time.thread_time() - processor, time.perf_counter() - clock
        if clock > NOTICEABLE:
            seen.append((at, processor, clock, asyncio.base_events._format_handle(handle)))

    asyncio.Handle._run = timed
    atexit.register(lambda: path.write_text("".join(json.dumps(each) + "\n" for each in seen)))


if __name__ == "__main__":
    _, address, module, *arguments = sys.argv
    point(address)
    if "LOOP_WATCH" in os.environ:
        watch(Path(os.environ["LOOP_WATCH"]))
    sys.argv = [module, *arguments]
    sys.path[0] = ""
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
