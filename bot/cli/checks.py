"""What `glasshead doctor` looks at: each check looks, changes nothing, and ends in one finding."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..catalog import Catalog, locate
from ..config import ModelSection, Settings
from ..errors import UserError
from ..predict import cgroup, gguf, library
from ..predict.adapter import check as check_adapter
from ..predict.model import Model, file_sha256
from ..predict.pool import ModelChoice, footprint
from ..store.lock import current_owner
from ..store.migrate import require_version
from ..wiring import engine_settings, memory_for_models

_FAIL_BELOW, _WARN_BELOW = 200e6, 1e9  # bytes of free disk space
# Application flags: https://discord.com/developers/docs/resources/application#application-object-application-flags
_MESSAGE_CONTENT = 1 << 18 | 1 << 19
_SCRIPTS = {"Latin": "en", "Chinese, Japanese": "zh", "Arabic": "ar", "Devanagari": "hi", "emoji": "und-zsye"}


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy`` says what to do about a warning or a failure."""

    status: Literal["ok", "warn", "fail"]
    what: str
    detail: str
    remedy: str = ""


def python() -> Finding:
    return Finding("ok", "python", f"{platform.python_version()}, {sys.executable}")


def compiler() -> Finding:
    """Only an installation needs one; this one is installed."""
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if found:
        return Finding("ok", "compiler", found)
    return Finding("warn", "compiler", "no C++ compiler", "llama.cpp is installed, but upgrading it will need one")


def llamacpp() -> Finding:
    return Finding("ok", "llama.cpp", library.build())


def models(settings: Settings) -> Iterator[Finding]:
    """The usual one with its adapter, and those that people may choose."""
    section = settings.model
    room, usual = memory_for_models(settings), 0
    for name in dict.fromkeys((section.name, *section.others)):
        finding, path = _model(section, name)
        if path is not None:
            how = engine_settings(settings, gguf.read(path).n_ctx_train)
            needed = footprint(ModelChoice(path, how))
            if usual + needed > room:
                beside = f" beside the {usual >> 20} MB of {section.name}" if usual else ""
                detail = f"{name}: takes {-(-needed >> 20)} MB{beside}, of {room >> 20} MB for models"
                finding = Finding("fail", "model", detail, "lower streams or context, or raise memory_mb")
            usual = usual or needed
        yield finding


def _model(section: ModelSection, name: str) -> tuple[Finding, Path | None]:
    """What there is to say of it, and its file where that can be used."""
    catalog = Catalog.load(section.folder)
    pull, remedy = f"glasshead model pull {name}", "name another in [model]"
    try:
        wanted, path = catalog.entry(name).sha256, catalog.find(name)
        if path is None:
            return Finding("fail", "model", f"{name}: not here yet", pull), None
        if wanted is not None and file_sha256(path) != wanted:
            remedy = f"delete it, then: {pull}"
            gguf.check(path)
            return Finding("fail", "model", f"{path}: wrong checksum", remedy), None
        with Model.load(path, vocab_only=True) as loaded:
            header = loaded.header
            if loaded.unfit:
                raise UserError(f"{path}: {loaded.unfit}")
        if section.adapter and name == section.name:
            remedy = "name another adapter in [model], or none"
            check_adapter(locate(section.adapter, section.folder), header.architecture)
    except (UserError, OSError) as error:
        return Finding("fail", "model", str(error), remedy), None
    detail = f"{path}, {header.architecture}, {header.quantization or 'unknown quantization'}"
    if not header.text("tokenizer.chat_template"):
        detail += ", without a chat template"
        return Finding("warn", "model", detail, "a plain one is used; a chat model brings its own"), path
    return Finding("ok", "model", detail), path


def database(settings: Settings) -> Finding:
    path = settings.store.path
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(path if path.exists() else folder, os.W_OK):
        return Finding("fail", "database", f"{path}: cannot be written", "allow it, or set [store] path")
    if not path.exists():
        return Finding("ok", "database", f"{path}: will be created")
    try:
        require_version(path)
    except UserError as error:
        return Finding("fail", "database", str(error), "see above, or set [store] path to another file")
    owner = current_owner(path)
    used = f", in use by {owner}" if owner else ""
    return Finding("ok", "database", f"{path}, {path.stat().st_size / 1e6:,.1f} MB{used}")


def discord_access(settings: Settings) -> Finding:
    """Whether Discord takes the token, and whether the bot may read messages that do not mention it."""
    from discord.http import Route  # noqa: PLC0415 - importing it takes half a second

    token = settings.discord.token.get_secret_value()
    if not token:
        return Finding("warn", "discord", "no token: the bot talks in the terminal only", "set DISCORD_TOKEN")
    portal = "https://discord.com/developers/applications"
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (glasshead, 1)"}
    request = urllib.request.Request(f"{Route.BASE}/applications/@me", headers=headers)  # noqa: S310 - Discord's
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            application = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return Finding("fail", "discord", "Discord refuses the token", f"make a new one at {portal}, tab Bot")
        return Finding("warn", "discord", f"Discord answered {error.code}", "try again later")
    except (OSError, ValueError):
        return Finding("warn", "discord", "token is set; Discord cannot be reached to try it", "check the network")
    name = application.get("name", "?")
    if not int(application.get("flags", 0)) & _MESSAGE_CONTENT:
        remedy = f"turn on Message Content Intent at {portal}, tab Bot; without it only mentions and DMs are seen"
        return Finding("warn", "discord", f"token of {name}, which may not read messages", remedy)
    return Finding("ok", "discord", f"token of {name}, which may read messages")


def review_port(settings: Settings) -> Finding:
    port = settings.review.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = "glasshead review is running already? else set [review] port"
            return Finding("warn", "review port", f"{port}: {error.strerror}", remedy)
    return Finding("ok", "review port", f"{port or 'any'} is free")


def disk(settings: Settings) -> Finding:
    rooms = {
        folder: shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
        for folder in (settings.store.path.absolute().parent, settings.model.folder.absolute())
    }
    tightest = min(rooms, key=lambda folder: rooms[folder])
    detail = f"{rooms[tightest] / 1e9:,.1f} GB free for {tightest}"
    if rooms[tightest] < _FAIL_BELOW:
        return Finding("fail", "disk", detail, "make room: the log cannot grow")
    if rooms[tightest] < _WARN_BELOW:
        return Finding("warn", "disk", detail, "make room soon")
    return Finding("ok", "disk", detail)


def threads(settings: Settings) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup.cores()
    usable = min(cores, quota)
    limited = f", limited to {quota:g} by a cgroup" if quota < cores else ""
    detail = f"{cores} cores{limited}, load {os.getloadavg()[0]:.1f}"
    if settings.engine.threads > usable:
        remedy = f"set [engine] threads to 0, or to {max(1, int(usable))} at most"
        return Finding("warn", "threads", f"{detail}; {settings.engine.threads} threads are configured", remedy)
    if os.getloadavg()[0] > usable:
        return Finding("warn", "threads", detail, "other programs want these cores too: replies will be slow")
    return Finding("ok", "threads", detail)


def fonts() -> Finding:
    """Pictures show what the system's fonts can draw; other characters appear as escaped bytes."""
    program = shutil.which("fc-list")
    if program is None:
        return Finding("warn", "fonts", "fontconfig is missing", "install it to see what pictures can show")
    missing = [
        script
        for script, language in _SCRIPTS.items()
        if not subprocess.run([program, f":lang={language}"], capture_output=True, check=False).stdout  # noqa: S603
    ]
    if missing:
        remedy = "install fonts for them (Debian: fonts-noto, fonts-noto-cjk, fonts-noto-color-emoji)"
        return Finding("warn", "fonts", f"pictures cannot show: {'; '.join(missing)}", remedy)
    return Finding("ok", "fonts", f"pictures can show: {'; '.join(_SCRIPTS)}")
