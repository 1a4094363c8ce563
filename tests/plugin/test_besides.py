"""Messages that say something without words."""

from typing import Any

import pytest
from discord_double import Double
from house import finished

pytestmark = pytest.mark.usefixtures("quick")


def embed(**more: Any) -> dict[str, Any]:
    return {"type": "rich", **more}


def forward(**more: Any) -> dict[str, Any]:
    told = {"type": 0, "content": "", "embeds": [], "attachments": [], "timestamp": "2026-01-01T00:00:00+00:00"}
    snapshot = told | {"edited_timestamp": None, "flags": 0} | more
    return {
        "message_reference": {"type": 1, "message_id": "5", "channel_id": "6"},
        "message_snapshots": [{"message": snapshot}],
    }


WAVE = [{"id": "1", "name": "wave]", "format_type": 1}]
POLL = {
    "question": {"text": "Tea or coffee?"},
    "answers": [
        {"answer_id": 1, "poll_media": {"text": "Tea"}},
        {"answer_id": 2, "poll_media": {"text": None, "emoji": {"id": None, "name": "☕"}}},
    ],
    "expiry": "2036-01-01T00:00:00+00:00",
    "allow_multiselect": False,
    "layout_type": 1,
}
FIELD = {"name": "Size", "value": "Small", "inline": True}


@pytest.mark.parametrize(
    ("text", "more", "read"),
    [
        ("", {"sticker_items": WAVE}, "[sticker: wave_]"),
        ("Hi!", {"sticker_items": WAVE}, "Hi!\n\n[sticker: wave_]"),
        ("", {"poll": POLL}, "[poll]\nTea or coffee?\n- Tea\n- ☕\n[end of poll]"),
        (
            "",
            {"embeds": [embed(title="News", description="All is well.", fields=[FIELD])]},
            "[embed]\nNews\nAll is well.\nSize\nSmall\n[end of embed]",
        ),
        ("", {"embeds": [embed(description="a" * 5000)]}, f"[embed]\n{'a' * 1000} […]\n[end of embed]"),
        ("", {"embeds": [embed(image={"url": "https://example.org/a.png"})]}, "[embed, not readable here]"),
        ("See https://example.org", {"embeds": [embed(title="A preview")]}, "See https://example.org"),
        ("", forward(content="<@7> is late."), "[forwarded]\n@somebody is late.\n[end of forwarded]"),
        (
            "",
            forward(embeds=[embed(title="News")], sticker_items=WAVE),
            "[forwarded]\n[sticker: wave_]\n\n[embed]\nNews\n[end of embed]\n[end of forwarded]",
        ),
        ("", forward(), "[forwarded, not readable here]"),
    ],
)
async def test_what_can_be_read_is_read(
    double: Double, started: Any, text: str, more: dict[str, Any], read: str
) -> None:
    alice = double.person("alice")
    async with started() as bot:
        asked = await alice.say(alice.dm, text, more=more)
        await double.reply_to(asked, finished, timeout=40)
        assert bot.service.chat.heard[-1][-1] == ("user", read)
