"""The installed plugin in other people's bots: the examples of docs/plugin.md, run as they stand."""

import asyncio
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from discord_double import Double, Message, walk

ROOT = Path(__file__).parent.parent.parent


def finished(message: Message) -> bool:
    return any(c.get("label") == "Retry" for c in walk(message.components))


def examples() -> list[str]:
    """The two programs in docs/plugin.md (the first block is one line)."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plugin.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    return blocks[1:]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's contents, as site-packages would."""
    folder = tmp_path_factory.mktemp("wheel")

    async def build() -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
        )
        assert await process.wait() == 0

    asyncio.run(build())
    (wheel,) = folder.glob("glasshead-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert not [name for name in names if name.startswith(("bot/", "tests/", "migrations/"))]
        archive.extractall(folder / "site")
    return folder / "site"


async def test_a_host_with_a_bot_py(double: Double, launch: Any, tmp_path: Path, installed: Path) -> None:
    (tmp_path / "bot.py").write_text(examples()[0])
    host = await launch("bot.py", PYTHONPATH=str(installed))
    alice = double.person("alice")
    await double.commands_synced()
    asked = await alice.mention_bot(double.general, "Say hello.")
    reply = await double.reply_to(asked, finished, timeout=60)
    panel = await (await alice.menu("Explain this reply", reply)).answer()
    assert "Turn 1, explained" in panel.text and panel.attachments
    await alice.say(double.general, "!ping")
    await double.wait_for(lambda m: m.content == "pong")
    assert await host.terminate() in (0, -15)
    assert "Traceback" not in host.output


async def test_a_host_with_a_bot_folder_reloads_and_unloads(
    double: Double, launch: Any, tmp_path: Path, installed: Path
) -> None:
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "__init__.py").write_text("")
    (tmp_path / "bot" / "__main__.py").write_text(examples()[1])
    host = await launch("bot", PYTHONPATH=str(installed))
    alice = double.person("alice")
    await double.commands_synced()
    before = await double.reply_to(await alice.mention_bot(double.general, "Say one."), finished, timeout=60)
    await alice.say(double.general, "!reload")
    await double.wait_for(lambda m: m.content == "reloaded", timeout=60)
    panel = await (await alice.press(before, "Explain")).answer()
    assert "Turn 1, explained" in panel.text
    after = await double.reply_to(await alice.mention_bot(double.general, "Say two."), finished, timeout=60)
    assert double.said(double.general).count(after) == 1
    (tmp_path / "config.toml").write_text("[discord\n")
    await alice.say(double.general, "!reload")
    async with asyncio.timeout(60):
        while "ExtensionFailed" not in host.output:
            await asyncio.sleep(0.05)
    back = await double.reply_to(await alice.mention_bot(double.general, "Say three."), finished, timeout=60)
    assert double.said(double.general).count(back) == 1, "the one before goes on"
    await alice.say(double.general, "!unload")
    await double.wait_for(lambda m: m.content == "unloaded", timeout=60)
    await alice.mention_bot(double.general, "Anybody there?")
    await alice.say(double.general, "!unload")
    assert host.running
