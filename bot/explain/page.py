"""An explanation as one HTML file: no remote part, the record inside, readable without a network for ever.

Everything that came from a model or a person reaches the page as JSON and is shown as text; the page's own script
and style are the only ones its policy lets run, by their hashes.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from .branches import ReplyToken, compare
from .contrast import facts
from .explanation import Explanation
from .json import explanation_json, number
from .lines import plain, shown
from .loss import Scored, loss_lines
from .scale import LAYERS, Theme, colour, hex_colour, ink, read
from .sheet import legend
from .text import headline, origin, outcome, overview, percent, whole
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


def page(explanation: Explanation, step: int = 0, scored: Scored | None = None, family: Sequence[Turn] = ()) -> str:
    """The page, with ``step`` open.

    ``scored``: the same text in one pass; adds the loss, and tints the prompt. ``family``: the replies to the same
    message, this one among them; adds their tree, and each compared with this one.
    """
    turn = explanation.turn
    style, script = _style(), (_HERE / "page.js").read_text(encoding="utf-8")
    _, settings, *warnings = headline(explanation)
    template = Environment(autoescape=True).from_string((_HERE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        turn=turn.id,
        subtitle=f"{neutral(turn.model.name)} · {outcome(explanation)}",
        settings=settings,
        warnings=warnings,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        plain=plain(overview(explanation)),
        data=Markup(embedded(page_data(explanation, step, scored, family))),  # noqa: S704 - `embedded` leaves nothing that acts
    )


def page_data(
    explanation: Explanation, step: int, scored: Scored | None = None, family: Sequence[Turn] = ()
) -> dict[str, Any]:
    """The record, with numbers cut to what they are good for, and under ``view`` what only the page needs."""
    turn = explanation.turn
    record = explanation_json(explanation)
    del record["prompt_bytes"], record["groups"]
    record["steps"] = [_step(explanation, index, step_record) for index, step_record in enumerate(record["steps"])]
    names = {token: visible(piece) for token, piece in turn.trace.candidate_pieces.items()}
    names |= {token.id: visible(token.bytes) for token in explanation.tokens}
    layers = {layer: shown(explanation, layer) for layer in LAYERS}
    record["view"] = {
        "step": step,
        "unshown": next((token.index for token in explanation.tokens if token.is_unshown), None),
        "names": {str(token): name for token, name in names.items()},
        "groups": [
            [
                tile.group.first,
                tile.group.last,
                tile.text.replace("\n", "⏎\n"),
                visible(tile.group.bytes).replace("⏎", "⏎\n"),
            ]
            for tile in layers["probability"]
        ],
        "layers": {
            layer: {
                "tints": [round(tile.reading.unsure * SHADES) for tile in tiles],
                "levels": [tile.reading.level for tile in tiles],
                "legend": legend(layer),
            }
            for layer, tiles in layers.items()
        },
        "swatches": _SWATCHES,
        "reply": "" if explanation.tokens else neutral(turn.reply),
        "whole": " · ".join(whole(explanation)),
        "prompt": _prompt(explanation, scored),
        "loss": "\n".join(loss_lines(scored.loss)) if scored else None,
        "identity": _identity(explanation),
        "tree": [_tree_row(row, turn) for row in tree_rows(tree(family))] if len(family) > 1 else [],
    }
    return record


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


def _step(explanation: Explanation, index: int, record: dict[str, Any]) -> dict[str, Any]:
    view = explanation.step(index)
    kept = {name: value for name, value in record.items() if name not in ("index", "text")}
    return kept | {
        "shown": visible(view.bytes),
        "logprob": _cut(record["logprob"]),
        "entropy": _cut(record["entropy"]),
        "log_normaliser": _cut(record["log_normaliser"]),
        "p_final": _cut(record["p_final"]),
        "remainder": _cut(record["remainder"]),
        "final_remainder": _cut(record["final_remainder"]),
        "interval": [round(edge, 10) for edge in record["interval"]],
        "u": round(record["u"], 10),
        "stages": [
            [stage["name"], stage["survivors"], _cut(stage["log_normaliser"])] for stage in record["stages"]
        ],
        "top": [[c["id"], _cut(c["logprob"]), round(c["p_final"], 5), c["removed_by"]] for c in record["top"]],
        "bar": _bar(view),
    }


def _bar(view: StepView) -> list[float]:
    """The bar as id, end, id, end …, from 0; id -1 is a part whose tokens are not listed."""
    out: list[float] = []
    edge = 0.0
    for part in view.segments:
        if part.low > edge + 1e-4:
            out += [-1, round(part.low, 4)]
        out += [part.id, round(part.high, 4)]
        edge = part.high
    return out


def _cut(value: float | None) -> float | None:
    return None if value is None else number(round(value, 6))


def _prompt(
    explanation: Explanation, scored: Scored | None
) -> list[tuple[str, str, list[tuple[int, str, str, int | None]]]]:
    """Of each part: its origin, its kind, and of each token the id, text, a note and its shade."""
    seen = scored.prompt if scored else ()

    def token(position: int, number: int, text: str) -> tuple[int, str, str, int | None]:
        own = seen[position] if seen else None
        if own is None or own.logprob is None or own.surprisal_bits is None:
            return number, text, "", None
        shade = round(read("probability", math.exp(own.logprob)).unsure * SHADES)
        return number, text, f"{percent(math.exp(own.logprob))}, {own.surprisal_bits:.2f} bits", shade

    return [
        (
            f"{origin(part)} · {len(part.ids)} tokens from position {part.start}",
            part.kind,
            [
                token(
                    part.start + offset,
                    number,
                    visible(piece).replace("⏎", "⏎\n") if part.kind == "marker" else neutral(piece) or ERASED,
                )
                for offset, (number, piece) in enumerate(zip(part.ids, part.pieces, strict=True))
            ],
        )
        for part in explanation.prompt
    ]


def _identity(explanation: Explanation) -> list[tuple[str, str]]:
    turn = explanation.turn
    model = turn.model
    return [
        ("model file, SHA-256", model.sha256),
        ("quantization", model.quantization),
        ("vocabulary", f"{model.n_vocab:,} tokens"),
        ("llama.cpp", model.llamacpp_build),
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
def _style() -> str:
    """The style sheet with a class for each shade of the scale, on dark and on light."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return f"{style}{_shades('dark')}\n@media (prefers-color-scheme: light) {{ {_shades('light')} }}\n"


def _shades(theme: Theme) -> str:
    rules: Sequence[str] = [
        f".t{shade} {{ background: {hex_colour(tint)}; color: {hex_colour(ink(tint))}; }}"
        for shade in range(SHADES + 1)
        for tint in [colour(shade / SHADES, theme)]
    ]
    return " ".join(rules)
