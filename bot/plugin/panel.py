"""The explain panel: one step of a reply with its picture, and buttons whose ids say all there is to know."""

import unicodedata
from dataclasses import dataclass, replace
from typing import Any, Literal

import discord

from ..explain.explanation import Explanation
from ..explain.lines import plain
from ..explain.proof import unprovable
from ..explain.scale import LAYERS, Layer
from ..explain.text import absence, percent, quoted, stages_said, step_lines, whole
from ..explain.visible import visible
from ..predict.engine import short_name

TEMPLATE = (
    r"glasshead:panel:(?P<verb>[a-z]+):(?P<turn>\d+):(?P<step>\d+):(?P<layer>[a-z]+):(?P<opener>\d+)(?P<reveal>:s)?"
)
PICTURE = "explanation.png"
OPTIONS = 25
_TEXT_LIMIT = 3800
_CONTENT_LIMIT = 2000
COLUMNS = 56
"""Of a code block on a phone held upright, about."""

Verb = Literal[
    "first",
    "back",
    "next",
    "last",
    "least",
    "overruled",
    "jump",
    "layer",
    "saw",
    "loss",
    "prove",
    "whatif",
    "tree",
    "numbers",
    "share",
    "file",
    "thought",
]

STEPPING: dict[Verb, str] = {"first": "⏮", "back": "◀", "next": "▶", "last": "⏭"}
ASKING: dict[Verb, str] = {
    "saw": "What the model saw",
    "loss": "Loss",
    "prove": "Prove it",
    "whatif": "What if…",
    "tree": "Tree",
}
GIVING: dict[Verb, str] = {
    "overruled": "Overruled",
    "numbers": "All numbers",
    "share": "Share",
    "file": "File",
}
THINKING: dict[Verb, str] = {"thought": "What it thought"}
"""Only where it did: the reply is shown without."""
REVEAL = "whitespace"
"""What the select of layers offers besides them: to show all whitespace, or no longer."""
FOR_OPENER: tuple[Verb, ...] = ("prove", "whatif", "loss")
"""What costs the machine something: on a shared panel only for whoever opened it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which explanation a panel stands, and who opened it."""

    turn: int
    step: int
    layer: Layer
    opener: int
    reveal: bool = False
    """Whitespace and control bytes are shown."""

    def custom_id(self, verb: Verb) -> str:
        reveal = ":s" if self.reveal else ""
        return f"glasshead:panel:{verb}:{self.turn}:{self.step}:{self.layer}:{self.opener}{reveal}"

    def chooser(self, verb: Verb) -> str:
        """The id of a select; what is chosen comes with the press."""
        return self.custom_id(verb).replace(":panel:", ":choose:")

    @classmethod
    def of(cls, groups: dict[str, str | None]) -> "Place":
        """From the groups of TEMPLATE."""
        layer = next((layer for layer in LAYERS if layer == groups["layer"]), LAYERS[0])
        turn, step, opener = (int(groups[name] or 0) for name in ("turn", "step", "opener"))
        return cls(turn, step, layer, opener, bool(groups["reveal"]))


def moved(place: Place, verb: Verb, explanation: Explanation) -> Place:
    """Where a press leads. *Least certain* goes round the least certain steps, the least first; *Overruled* to the
    next step where sampling did not take the favourite."""
    last = len(explanation.tokens) - 1
    if verb == "least" and explanation.tokens:
        order = explanation.whole.least_certain
        at = order.index(place.step) if place.step in order else -1
        return replace(place, step=order[(at + 1) % len(order)])
    if verb == "overruled" and (steps := explanation.whole.overruled):
        return replace(place, step=next((step for step in steps if step > place.step), steps[0]))
    step = {"first": 0, "back": place.step - 1, "next": place.step + 1, "last": last}.get(verb, place.step)
    return within(replace(place, step=step), explanation)


def within(place: Place, explanation: Explanation) -> Place:
    """The place, or the nearest one the explanation has: steps go when somebody's words are erased."""
    return replace(place, step=max(0, min(place.step, len(explanation.tokens) - 1)))


class Panel(discord.ui.LayoutView):
    """Components V2. With a picture it says little in words; without one it says everything in words."""

    def __init__(self, explanation: Explanation, place: Place, *, picture: bool, note: str = "") -> None:
        super().__init__(timeout=None)
        texts = [heading(explanation, place, note), body(explanation, place, picture=picture)]
        items: list[discord.ui.Item[Any]] = [discord.ui.TextDisplay(texts[0][:_TEXT_LIMIT])]
        if picture:
            item = discord.MediaGalleryItem(
                f"attachment://{PICTURE}", description=spoken(explanation, place)[:1000]
            )
            items.append(discord.ui.MediaGallery(item))
        if texts[1]:
            items.append(discord.ui.TextDisplay(texts[1][: _TEXT_LIMIT - len(texts[0])]))
        self.add_item(discord.ui.Container(*items))
        for row in _rows(explanation, place):
            self.add_item(row)
        self.stop()  # presses arrive at the dynamic items


class PlainPanel(discord.ui.View):
    """The same with plain content, for servers that take no Components V2; ``text`` goes with it."""

    def __init__(self, explanation: Explanation, place: Place, *, picture: bool, note: str = "") -> None:
        super().__init__(timeout=None)
        words = body(explanation, place, picture=picture)
        self.text = f"{heading(explanation, place, note)}\n{words}"[:_CONTENT_LIMIT]
        for number, row in enumerate(_rows(explanation, place)):
            for item in row.children:
                item.row = number
                self.add_item(item)
        self.stop()


def _rows(explanation: Explanation, place: Place) -> list[discord.ui.ActionRow[Any]]:
    """At most five."""
    count = len(explanation.tokens)
    moving = [_stepping(place, count), _jump(explanation, place), _layers(place)] if count else []
    turn = explanation.turn
    vain: dict[Verb, object] = {
        "loss": turn.lack or not count,
        "prove": unprovable(turn),
        "whatif": turn.lack or not count or turn.status == "pending",
    }
    asking = _row(place, ASKING, disabled=tuple(verb for verb, why in vain.items() if why))
    nowhere: tuple[Verb, ...] = () if explanation.whole.overruled else ("overruled",)
    given = GIVING | THINKING if turn.reasoning else GIVING
    return [*moving, asking, _row(place, given, disabled=nowhere if count else ("overruled", "numbers"))]


def _row(place: Place, verbs: dict[Verb, str], disabled: tuple[Verb, ...] = ()) -> discord.ui.ActionRow[Any]:
    row: discord.ui.ActionRow[Any] = discord.ui.ActionRow()
    for verb, label in verbs.items():
        row.add_item(discord.ui.Button(label=label, custom_id=place.custom_id(verb), disabled=verb in disabled))
    return row


def _stepping(place: Place, count: int) -> discord.ui.ActionRow[Any]:
    at_end: dict[Verb, bool] = {
        "first": place.step == 0,
        "back": place.step == 0,
        "next": place.step == count - 1,
        "last": place.step == count - 1,
    }
    row: discord.ui.ActionRow[Any] = discord.ui.ActionRow()
    for verb, emoji in STEPPING.items():
        row.add_item(discord.ui.Button(emoji=emoji, custom_id=place.custom_id(verb), disabled=at_end[verb]))
    row.add_item(discord.ui.Button(label="Least certain", custom_id=place.custom_id("least")))
    return row


def _jump(explanation: Explanation, place: Place) -> discord.ui.ActionRow[Any]:
    """The steps around this one."""
    count = len(explanation.tokens)
    overruled = set(explanation.whole.overruled)
    start = max(0, min(place.step - OPTIONS // 2, count - OPTIONS))
    options = [
        discord.SelectOption(
            label=f"{index}  {visible(explanation.tokens[index].bytes) or '(nothing)'}"[:100],
            value=str(index),
            description=f"{percent(explanation.tokens[index].p)}, rank {explanation.tokens[index].rank}"
            f"{', sampling overruled the favourite' if index in overruled else ''}",
            default=index == place.step,
        )
        for index in range(start, min(start + OPTIONS, count))
    ]
    return discord.ui.ActionRow(
        discord.ui.Select(custom_id=place.chooser("jump"), placeholder="Go to a step", options=options)
    )


def _layers(place: Place) -> discord.ui.ActionRow[Any]:
    options = [
        discord.SelectOption(label=f"Tinted by {layer}", value=layer, default=layer == place.layer)
        for layer in LAYERS
    ]
    label = "Hide whitespace" if place.reveal else "Show whitespace and control bytes"
    options.append(discord.SelectOption(label=label, value=REVEAL))
    return discord.ui.ActionRow(
        discord.ui.Select(custom_id=place.chooser("layer"), placeholder="Tint", options=options)
    )


def heading(explanation: Explanation, place: Place, note: str) -> str:
    turn = explanation.turn
    lines = [
        f"### Turn {turn.id}, explained",
        f"-# {visible(short_name(turn.model.name).encode())} · {'; '.join(whole(explanation))}",
    ]
    if turn.status == "pending":
        come = "*Prove it* and *What if…* come with its end"
        lines.append(f"-# Still being written: this is what there is so far; {come}.")
    elif turn.status == "interrupted":
        lines.append("-# Interrupted: this is what was written.")
    if turn.trace.fault:
        lines.append(f"-# The record is damaged: {turn.trace.fault}")
    elif not turn.verifiable:
        lines.append("-# Part of what went in was erased: this turn can be read, not replayed.")
    if note:
        lines.append(note)
    return "\n".join(lines)


def body(explanation: Explanation, place: Place, *, picture: bool) -> str:
    """The step in words: what the picture leaves out beside it, everything without it."""
    if not explanation.tokens:
        return absence(explanation)
    if picture:
        step = explanation.step(place.step)
        named = f"-# id {step.id} · bytes {step.bytes[:12].hex(' ') or 'none'} · {stages_said(explanation, step)}"
        return f"{discord.utils.escape_markdown(spoken(explanation, place))}\n{named}"
    lines = plain(step_lines(explanation, place.step, columns=COLUMNS))
    return f"```\n{lines.replace('```', chr(0x2CB) * 3)}\n```"


def spoken(explanation: Explanation, place: Place) -> str:
    """The step as a sentence, also for those who cannot see the picture."""
    if not explanation.tokens:
        return absence(explanation)
    step = explanation.step(place.step)
    others = [c for c in step.candidates if not c.chosen][:3]
    instead = ", ".join(f"{isolated(quoted(c.bytes, 14))} {percent(c.p)}" for c in others)
    which = ", the least certain" if place.step == explanation.whole.least_certain[0] else ""
    return (
        f"Step {place.step} of 0 to {len(explanation.tokens) - 1}{which}: {isolated(quoted(step.bytes))} with "
        f"{percent(step.p)}, rank {step.rank}. It might have been {instead}."
    )


def isolated(text: str) -> str:
    """What is read from the right kept apart, so that it does not draw in the number that follows it."""
    return f"\u2068{text}\u2069" if any(unicodedata.bidirectional(char) in ("R", "AL") for char in text) else text
