"""The whole way: a bot as its own process, the real model, a loopback Discord, people."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from discord_double import Double, Message, walk


def finished(message: Message) -> bool:
    return any(c.get("label") == "Retry" for c in walk(message.components))


def statuses(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "data" / "glasshead.db")) as log:
        return [status for (status,) in log.execute("SELECT status FROM turn ORDER BY id")]


async def test_mention_explain_kill_restart_explain(double: Double, launch: Any, tmp_path: Path) -> None:
    alice, bob = double.person("alice"), double.person("bob")
    bot = await launch("glasshead", "run")
    asked = await alice.mention_bot(double.general, "Name three colours and say why you like each of them.")
    reply = await double.reply_to(asked, finished, timeout=60)
    assert len(reply.revisions) >= 2, "it streamed"
    assert len({text for _, text in reply.revisions}) == len(reply.revisions), "no edit without a change"
    assert double.typing and not reply.pinged

    panel = await (await bob.menu("Explain this reply", reply)).answer()
    assert panel.ephemeral and "Turn 1, explained" in panel.text and panel.attachments
    stepped = await bob.press(panel, "⏭")
    await stepped.shows(lambda m: "Step 39" in m.text or "Step" in m.text)

    await bot.kill()
    again = await launch("glasshead", "run")
    assert double.rest.syncs == 1, "unchanged commands are not synced again"
    panel = await (await bob.menu("Explain this reply", reply)).answer()
    assert "Turn 1, explained" in panel.text
    old_button = await (await alice.press(reply, "Explain")).answer()
    assert old_button.text == panel.text
    assert (await alice.slash("explain", double.general)).acked_after < 3
    followed = await alice.say(double.general, "And a fourth?", reply_to=reply)
    second = await double.reply_to(followed, finished, timeout=60)
    assert await again.terminate() == 0
    assert re.search(r"on Discord as .*, in 1 server", again.output) and "WARNING" not in again.output

    assert statuses(tmp_path) == ["ok", "ok"]
    shown = await _cli(launch, tmp_path, "log", "show", "1", "--json")
    text = json.dumps(shown, ensure_ascii=False)
    for said in ("Name three colours", "And a fourth?", second.content.split("\n")[0][:20]):
        assert said in text


async def _cli(launch: Any, folder: Path, *arguments: str) -> Any:
    process = await launch("glasshead", *arguments, connected=False)
    assert await process.ended() == 0, process.output
    return json.loads(process.output)


async def test_a_kill_while_it_writes_leaves_an_interrupted_turn(
    double: Double, launch: Any, tmp_path: Path
) -> None:
    alice = double.person("alice")
    biased = {"GLASSHEAD_SAMPLING__MAX_TOKENS": "600", "GLASSHEAD_SAMPLING__LOGIT_BIAS": "[[0,-100],[2,-100]]"}
    bot = await launch("glasshead", "run", **biased)
    asked = await alice.mention_bot(double.general, "Tell me a very long story.")
    reply = await double.reply_to(asked, lambda m: len(m.content) > 300, timeout=60)
    await bot.kill()
    assert statuses(tmp_path) == ["pending"]
    again = await launch("glasshead", "run")
    assert statuses(tmp_path) == ["interrupted"]
    await double.until(lambda: finished(double.said()[-1]), timeout=20)
    assert "interrupted here" in double.said()[-1].content
    panel = await (await alice.menu("Explain this reply", reply)).answer()
    assert "Interrupted" in panel.text
    assert await again.terminate() == 0


async def test_sigterm_while_it_writes_ends_cleanly(double: Double, launch: Any, tmp_path: Path) -> None:
    alice = double.person("alice")
    biased = {"GLASSHEAD_SAMPLING__MAX_TOKENS": "1500", "GLASSHEAD_SAMPLING__LOGIT_BIAS": "[[0,-100],[2,-100]]"}
    bot = await launch("glasshead", "run", **biased)
    asked = await alice.mention_bot(double.general, "Tell me a very long story.")
    await double.reply_to(asked, lambda m: len(m.content) > 100, timeout=60)
    assert await bot.terminate() == 0, bot.output
    assert statuses(tmp_path) == ["stopped"]
    last = double.said()[-1]
    assert "Stopped." in last.content and finished(last)
    assert "Traceback" not in bot.output and "Task was destroyed" not in bot.output


async def test_sigterm_while_it_proves_ends_cleanly_and_soon(double: Double, launch: Any) -> None:
    alice = double.person("alice")
    bot = await launch("glasshead", "run")
    asked = await alice.mention_bot(double.general, "What is this about? " + "Here is a long story. " * 15)
    reply = await double.reply_to(asked, finished, timeout=60)
    panel = await (await alice.press(reply, "Explain")).answer()
    await alice.press(panel, "Prove it")
    assert await bot.terminate(timeout=15) == 0, bot.output
    assert "Traceback" not in bot.output and "Task was destroyed" not in bot.output


async def test_drops_and_429s_on_the_way(double: Double, launch: Any, tmp_path: Path) -> None:
    alice = double.person("alice")
    bot = await launch("glasshead", "run")
    asked = await alice.mention_bot(double.general, "Name three animals.")
    await double.reply_to(asked, timeout=60)
    double.too_many("PATCH", "/messages/", 0.8, times=2)
    await double.gateway.disconnect()
    missed = await alice.mention_bot(double.general, "Name three plants.")
    first = await double.reply_to(asked, finished, timeout=60)
    second = await double.reply_to(missed, finished, timeout=60)
    assert double.said() == [first, second] and double.gateway.resumed == 1
    assert await bot.terminate() == 0
    assert statuses(tmp_path) == ["ok", "ok"]


async def test_a_wrong_token_is_one_clear_line(launch: Any) -> None:
    bot = await launch("glasshead", "run", connected=False, DISCORD_TOKEN="wrong-token-value")
    assert await bot.ended() == 2
    assert "Traceback" not in bot.output and "wrong-token-value" not in bot.output
    assert "refuses the token" in bot.output
