"""Run an unmodified bot against the double: ``python launch.py URL MODULE [ARGUMENTS]``.

discord.py keeps its addresses in three class attributes; they are set before the bot's own module runs.
A module given as a path ending in .py is run as a script.
"""

import runpy
import sys


def point(url: str) -> None:
    """Let discord.py, in this process, talk to the double at ``url``."""
    import yarl
    from discord.asset import Asset
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    Route.BASE = f"{url}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url.replace("http", "ws", 1) + "/gateway/")
    Asset.BASE = url


if __name__ == "__main__":
    _, address, module, *arguments = sys.argv
    point(address)
    sys.argv = [module, *arguments]
    sys.path[0] = ""
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
