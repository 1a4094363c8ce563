"""An explanation as one HTML file: no remote part, the record inside, readable without a network for ever.

Everything that came from a model or a person reaches the page as JSON and is shown as text; the page's own script
and style are the only ones its policy lets run, by their hashes.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template
from markupsafe import Markup

from ..predict.engine import short_name
from ..predict.sampling import StageName
from .branches import ReplyToken, compare
from .contrast import facts
from .explanation import Explanation
from .family import Family
from .json import explanation_json, number
from .lines import Shown, plain, shown
from .loss import Scored, SeenToken, loss_lines
from .scale import LAYERS, Theme, colour, hex_colour, ink, read
from .sheet import legend
from .statement import machine
from .text import dropped, headline, origin, outcome, overview, percent, whole
from .tokens import Group, PromptPart, groups
from .tree import TreeRow, continuation, met, said, title, tree, tree_rows
from .turn import Turn
from .view import StepView
from .visible import neutral, visible

_HERE = Path(__file__).parent
SHADES = 32
ERASED = "▒"
"""Stands for a token whose bytes are gone."""
_SWATCHES = (0, 4, 8, 15, 32)
"""The shade of each level in the legend."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a page shows besides the record of its turn. What was not asked for says how to ask for it.

    ``scored``: the same text in one pass; adds the loss, and tints the prompt. ``certificate``: a proof, in lines.
    ``family``: the replies to the same message, this one among them; adds their tree, each compared with this one.
    """

    scored: Scored | None = None
    certificate: Sequence[str] = ()
    family: Family = field(default_factory=Family)


_NONE = Extras()


def page(explanation: Explanation, step: int | None = None, extras: Extras = _NONE) -> str:
    """The page, with ``step`` open; without one, the least certain."""
    turn = explanation.turn
    style, script = _style(), _source("legible.js") + _source("page.js")
    _, settings, *warnings = headline(explanation)
    data = page_data(explanation, step, extras)
    steps = data.pop("steps")
    return _template().render(
        turn=turn.id,
        subtitle=f"{neutral(short_name(turn.model.name))} · {outcome(explanation)}",
        settings=settings,
        warnings=warnings,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        plain=plain(overview(explanation)),
        tiles=_tiles(explanation),
        reply="" if explanation.tokens else neutral(turn.reply),
        data=Markup(embedded(data)),  # noqa: S704 - `embedded` leaves nothing that acts
        steps=Markup("\n".join(map(embedded, steps))),  # noqa: S704
    )


def page_bytes(explanation: Explanation, step: int | None, extras: Extras) -> bytes:
    """The page as a file holds it."""
    return page(explanation, step, extras).encode("utf-8", "backslashreplace")


def _tiles(explanation: Explanation) -> list[tuple[str, str]]:
    """The reply as it stands in the page before any script runs: of each group the classes and the text."""
    return [
        (f"t{_shade(tile)} m{tile.reading.level}", tile.text.replace("\n", "⏎\n"))
        for tile in shown(explanation, "probability")
    ]


def _shade(tile: Shown) -> int:
    return round(tile.reading.unsure * SHADES)


def page_data(explanation: Explanation, step: int | None, extras: Extras) -> dict[str, Any]:
    """The record, with numbers cut to what they are good for, and under ``view`` what only the page needs.

    A step is read when it is opened, so it is short: stages go by their place in ``sampling.stages``, and what says
    nothing new (a ``greedy`` that was chosen) is left out. The page's script writes it out in full again.
    """
    turn = explanation.turn
    record = explanation_json(explanation)
    del record["prompt_bytes"], record["groups"]
    stages = {name: place for place, name in enumerate(turn.sampling.stages)}
    record["steps"] = [_step(explanation, index, stages) for index in range(len(explanation.tokens))]
    names = {token: visible(piece) for token, piece in turn.trace.candidate_pieces.items()}
    names |= {token.id: visible(token.bytes) for token in explanation.tokens}
    layers = {layer: shown(explanation, layer) for layer in LAYERS}
    record["view"] = {
        "step": step,
        "unshown": next((token.index for token in explanation.tokens if token.is_unshown), None),
        "names": {str(token): name for token, name in names.items()},
        "groups": [
            [tile.group.first, tile.group.last, visible(tile.group.bytes).replace("⏎", "⏎\n")]
            for tile in layers["probability"]
        ],
        "layers": {
            layer: {
                "tints": [_shade(tile) for tile in tiles],
                "levels": [tile.reading.level for tile in tiles],
                "legend": legend(layer),
            }
            for layer, tiles in layers.items()
        },
        "swatches": _SWATCHES,
        "whole": " · ".join(whole(explanation)),
        "dropped": dropped(explanation),
        "prompt": _prompt(explanation, extras.scored),
        "loss": _loss(explanation, extras.scored),
        "proof": "\n".join(extras.certificate) or _unproven(explanation),
        "identity": _identity(explanation),
        "tree": [_tree_row(row, turn) for row in tree_rows(tree(extras.family))] if len(extras.family) > 1 else [],
        "unread": extras.family.unread,
    }
    return record


def _loss(explanation: Explanation, scored: Scored | None) -> str:
    """Both columns, or what the record alone knows of them."""
    if scored is not None:
        return "\n".join(loss_lines(scored.loss))
    turn, count = explanation.turn.id, len(explanation.tokens)
    nats = -sum(token.logprob for token in explanation.tokens)
    return (
        f"sum of −log p while this reply was written: {nats:.4f} nats, {nats / max(1, count):.4f} a token\n"
        f"glasshead explain {turn} --html FILE --loss puts beside it what one pass over the finished text gives, "
        "as in training, and how likely each token of the prompt was."
    )


def _unproven(explanation: Explanation) -> str:
    if not explanation.turn.verifiable:
        return "Part of what went in was erased or is damaged: this turn can be read, not replayed."
    turn = explanation.turn.id
    return (
        f"glasshead verify {turn} gives the model the same input again and compares every row of its numbers with "
        f"the row hashes recorded here; glasshead explain {turn} --html FILE --prove puts the outcome on this page."
    )


def _tree_row(row: TreeRow, here: Turn) -> dict[str, Any]:
    """A branch, and both replies cut where they agree and where they do not: [same?, this one's text, its text]."""
    branch, other = row.branch, row.branch.turn
    parts, told = [], ""
    if other.id != here.id:
        comparison = compare(here, other)
        parts = [
            [stretch.same, _text(comparison.left, stretch.left), _text(comparison.right, stretch.right)]
            for stretch in comparison.stretches
        ]
        told = "; ".join(facts(comparison))
    return {
        "depth": row.depth,
        "turn": other.id,
        "title": title(branch),
        "said": said(branch.fork),
        "next": continuation(branch, 90),
        "met": met(branch.fork),
        "facts": told,
        "parts": parts,
    }


def _text(tokens: Sequence[ReplyToken], part: tuple[int, int]) -> str:
    return neutral(b"".join(token.bytes for token in tokens[part[0] : part[1]]))


def _step(explanation: Explanation, index: int, stages: dict[StageName, int]) -> dict[str, Any]:
    step, view = explanation.turn.trace.steps[index], explanation.step(index)
    shown = {candidate.id: candidate for candidate in view.candidates}
    out: dict[str, Any] = {
        "id": step.id,
        "bytes": view.bytes.hex(),
        "logprob": _cut(step.logprob, 6),
        "rank": step.rank,
        "entropy": _cut(step.entropy, 5),
        "log_normaliser": _cut(step.log_normaliser, 5),
        "u": _cut(step.u, 10),
        "interval": [_cut(edge, 10) for edge in step.interval],
        "p_final": _share(step.p_final),
        "stages": [[stages[stage.name], stage.survivors, _cut(stage.log_normaliser, 5)] for stage in step.stages],
        "row_hash": f"{step.row_hash:016x}",
        "top": [
            [
                c.id,
                # As the view has it: with the step's own number for the chosen one, and summing to 1 with the rest.
                _cut(step.logprob if c.id == step.id else _log(shown[c.id].p), 6),
                None if view.hides(shown[c.id]) else _share(shown[c.id].p_final),
                *([stages[c.removed_by]] if c.removed_by else []),
            ]
            for c in step.top
        ],
        "remainder": _share(view.remainder),
        "final_remainder": None if view.is_blurred else _share(view.final_remainder),
        "bar": _bar(view),
    }
    return out if view.greedy == step.id else out | {"greedy": view.greedy}


def _log(p: float) -> float:
    return math.log(p) if p else -math.inf


def _bar(view: StepView) -> list[float | None]:
    """The bar as id, end, id, end …, from 0; id -1 is a part whose tokens are not listed."""
    out: list[float | None] = []
    edge = 0.0
    for part in view.segments:
        if part.low > edge + 1e-4:
            out += [-1, _cut(part.low, 4)]
        out += [part.id, _cut(part.high, 4)]
        edge = part.high
    return out


def _cut(value: float, digits: int) -> float | None:
    """Rounded, and without a decimal point where there is nothing behind it."""
    rounded = number(round(value, digits))
    return int(rounded) if rounded is not None and rounded.is_integer() else rounded


def _share(p: float) -> float | None:
    """A probability to a millionth. One that is smaller still is not 0, but what a subtraction left over is."""
    return _cut(p, 6) or (float(f"{p:.0e}") if p > 1e-9 else 0)


Tile = tuple[str, str, int | None]
"""Of what the model saw: its text, what to say of its tokens, and its shade."""


def _prompt(explanation: Explanation, scored: Scored | None) -> list[tuple[str, str, list[Tile]]]:
    """Of each part of the prompt: its origin, its kind, and its tiles. A character of several tokens is on one."""
    return [
        (
            f"{origin(part)} · {len(part.ids)} tokens from position {part.start}",
            part.kind,
            [_seen(part, group, scored.prompt if scored else ()) for group in groups(part.pieces)],
        )
        for part in explanation.prompt
    ]


def _seen(part: PromptPart, group: Group, scored: Sequence[SeenToken]) -> Tile:
    text = visible(group.bytes).replace("⏎", "⏎\n") if part.kind == "marker" else neutral(group.bytes) or ERASED
    places = range(group.first, group.last + 1)
    notes = [f"token {part.ids[place]}" for place in places]
    if len(notes) > 1:
        notes = [f"{note} {visible(part.pieces[place])}" for note, place in zip(notes, places, strict=True)]
    own = [scored[part.start + place] if scored else None for place in places]
    known = [token.logprob for token in own if token is not None and token.logprob is not None]
    shade = round(read("probability", math.exp(min(known))).unsure * SHADES) if known else None
    return text, "\n".join(map(_noted, notes, own)), shade


def _noted(note: str, token: SeenToken | None) -> str:
    """The note, and how likely the token was."""
    if token is None or token.logprob is None or token.surprisal_bits is None:
        return note
    return f"{note}, {percent(math.exp(token.logprob))}, {token.surprisal_bits:.2f} bits"


def _identity(explanation: Explanation) -> list[tuple[str, str]]:
    turn = explanation.turn
    model = turn.model
    return [
        ("model file, SHA-256", model.sha256),
        ("quantization", model.quantization),
        ("vocabulary", f"{model.n_vocab:,} tokens"),
        ("llama.cpp", model.llamacpp_build),
        *([("computed on", machine(model.cpu, model.gpu_layers))] if model.cpu else []),
        ("chat template, SHA-256", model.template_sha256),
        *([("adapter, SHA-256", model.adapter_sha256)] if model.adapter_sha256 else []),
        ("seed", str(turn.seed)),
        ("schedule", " ".join(f"{run.count}×{run.rows}{run.threads or ''}" for run in turn.schedule)),
        ("prompt token ids", " ".join(map(str, turn.prompt.ids))),
        ("reply token ids", " ".join(str(token.id) for token in explanation.tokens)),
        ("Glasshead", turn.app_version),
    ]


def embedded(data: object) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source_hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


@cache
def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True).from_string(_source("page.html"))


@cache
def _style() -> str:
    """The style sheet with a class for each shade of the scale, on dark and on light."""
    return (
        f"{_source('page.css')}{_shades('dark')}\n@media (prefers-color-scheme: light) {{ {_shades('light')} }}\n"
    )


def _shades(theme: Theme) -> str:
    rules: Sequence[str] = [
        f".t{shade} {{ background: {hex_colour(tint)}; color: {hex_colour(ink(tint))}; }}"
        for shade in range(SHADES + 1)
        for tint in [colour(shade / SHADES, theme)]
    ]
    return " ".join(rules)
