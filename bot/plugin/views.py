"""The buttons under a reply. Their ids hold all they need, so they work after a restart."""

import discord

from ..store import Store
from ..store.continuing import versions

PREFIX = "glasshead"
STYLES = {"stop": discord.ButtonStyle.danger, "explain": discord.ButtonStyle.primary}
LABELS = {"explain": "Explain", "stop": "Stop", "retry": "Retry"}
EMOJI = {"up": "👍", "down": "👎"}


def button(action: str, turn: int, *, label: str | None = None, disabled: bool = False) -> discord.ui.Button:  # type: ignore[type-arg]
    return discord.ui.Button(
        custom_id=f"{PREFIX}:{action}:{turn}",
        label=label or LABELS.get(action),
        emoji=EMOJI.get(action),
        style=STYLES.get(action, discord.ButtonStyle.secondary),
        disabled=disabled,
    )


class Buttons(discord.ui.View):
    """A row or two of buttons; equal to another with the same ones, so that an unchanged one is not sent again."""

    def __init__(self, *buttons: discord.ui.Button) -> None:  # type: ignore[type-arg]
        super().__init__(timeout=None)
        for each in buttons:
            self.add_item(each)
        self._key = tuple((b.custom_id, b.label, b.disabled) for b in buttons)
        self.stop()  # presses arrive at the dynamic items: discord.py need not remember this view

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Buttons) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def running_view(turn: int) -> Buttons:
    return Buttons(button("stop", turn))


async def finished_view(store: Store, turn: int) -> Buttons:
    """Explain, retry, thumbs, and the versions if there are several."""
    first = [button(action, turn) for action in ("explain", "retry", "up", "down")]
    versions = await versions_of(store, turn)
    if len(versions) < 2:
        return Buttons(*first)
    at = versions.index(turn)
    before = versions[at - 1] if at else turn
    after = versions[at + 1] if at + 1 < len(versions) else turn
    row = [
        button("version", before, label="◀", disabled=at == 0),
        button("here", turn, label=f"{at + 1}/{len(versions)}", disabled=True),
        button("version", after, label="▶", disabled=at + 1 == len(versions)),
    ]
    for each in row:
        each.row = 1
    if at == 0:
        row[0].custom_id = f"{PREFIX}:first:{turn}"
    if at + 1 == len(versions):
        row[2].custom_id = f"{PREFIX}:last:{turn}"
    return Buttons(*first, *row)


async def versions_of(store: Store, turn: int) -> list[int]:
    """The turns that answer the same message, as it read first or was edited, oldest first; what-ifs, what was
    erased and what ended before its first word left out."""
    full = await store.turn(turn)
    rows = await store.turns(full.session)
    asked = full.prompt_message
    every = [asked] if asked is None else await store.database.read(lambda c: versions(c, asked))
    return [
        row.id
        for row in rows
        if row.prompt_message in every
        and row.parent_turn is None
        and row.status != "pending"
        and (row.reply or row.id == turn or (row.verifiable and row.status not in ("stopped", "error")))
    ]
