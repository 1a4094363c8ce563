"""What Discord refuses although nothing told so beforehand: the reply stands there all the same."""

from typing import Any

import pytest
from discord_double import Double, Permission
from glasshead.plugin import surface
from glasshead.plugin.surface import Surface
from glasshead.plugin.transient import SLOWMODE
from house import finished

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_file_that_is_refused_becomes_messages(double: Double, started: Any) -> None:
    double.general.denied[double.world.bot.id] = Permission.ATTACH_FILES
    async with started(discord={"file_above_chars": 2000}) as bot:
        bot.service.chat.says = "word " * 1000
        bot.get_channel(double.general.id).guild._members.clear()  # nothing is known of permissions
        await double.person("alice").mention_bot(double.general, "Tell me a long story.")
        last = await double.wait_for(finished, timeout=40)
        said = double.said()
        assert 403 in [request.status for request in double.rejected]
        assert sum(message.content.count("word") for message in said) == 1000 and not last.attachments
        assert last is said[-1] and "Attach Files" in last.content


async def test_who_gives_a_command_is_told_that_its_answer_was_refused(double: Double, started: Any) -> None:
    alice = double.person("alice")
    async with started():
        await double.commands_synced()
        double.fail("PATCH", "/webhooks/", 400, code=50035)
        shown = await (await alice.slash("session show", double.general)).answer()
        assert shown.text == "Discord did not take my answer; please try again."
        double.fail("POST", "/threads$", 400, code=50035)
        asked = await alice.slash("chat", double.general, text="Hello!", thread=True)
        assert (await asked.shows(lambda m: "does not let me" in m.text)).text.endswith(
            "open a thread here: fault."
        )


@pytest.mark.parametrize("status", [400, 429])
async def test_in_slow_mode_it_waits_and_loses_nothing(
    double: Double, started: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(surface, "seconds_to_wait", lambda error, usual: waits.append(usual) or 0.0)
    async with started() as bot:
        bot.service.chat.says = "word " * 1000
        double.fail("POST", "/messages$", status, code=SLOWMODE, times=5)
        asked = await double.person("alice").mention_bot(double.general, "Tell me a long story.")
        last = await double.wait_for(finished, timeout=40)
        said = double.said()
        assert sum(message.content.count("word") for message in said) == 1000 and last is said[-1]
        assert said[0].reference is asked and waits


async def test_a_message_that_went_away_can_come_again(double: Double, started: Any) -> None:
    async with started() as bot:
        shown = Surface(bot.get_channel(double.general.id), name="of a test")
        for texts in (["one", "two"], ["one"], ["one", "three"]):
            await shown.show(texts)
            await shown.settle(bot.service.chat.store, None)
        assert [message.content for message in double.said(double.general)] == ["one", "three"]


async def test_an_answer_that_cannot_be_read_costs_no_reply(double: Double, started: Any) -> None:
    async with started() as bot:
        bot.service.chat.says = "word " * 600
        double.fail("POST", "/messages$", 200, after=True, times=2)
        asked = await double.person("alice").mention_bot(double.general, "Tell me a long story.")
        await double.wait_for(finished, timeout=20)
        said = double.said()
        assert said[0].reference is asked and sum(message.content.count("word") for message in said) == 600
