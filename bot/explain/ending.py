"""How a reply ended, from the record: by an end-of-turn token, a stop string, its length, a person, or a fault.

The record says `end` or `stop` for the first two, and of old replies `stop` for both. Which stop string it was is
found by doing again what ended the reply: looking for them in the text as the tokens come. Where none is met, the
last token is the model's own end of its turn.
"""

import hashlib

from ..predict.engine import Finish
from ..predict.template import PLAIN_STOP
from ..predict.text import TextStream
from .turn import Turn

_NO_TEMPLATE = hashlib.sha256(b"").hexdigest()


def stop_string(turn: Turn) -> str | None:
    """The stop string that ended the reply, if one did."""
    stops = turn.sampling.stop + (PLAIN_STOP if turn.model.template_sha256 == _NO_TEMPLATE else ())
    if turn.finish != "stop" or not stops:
        return None
    stream = TextStream(stops)
    start = len(turn.prompt_pieces) - turn.first_step
    for piece in (*turn.prompt_pieces[start:], *turn.trace.pieces):
        stream.feed(piece)
    return stream.stopped


def ends_itself(turn: Turn) -> bool:
    """Whether the last step is the model's end-of-turn token, which is no text of the reply."""
    ended = turn.finish == "end" or (turn.finish == "stop" and stop_string(turn) is None)
    return ended and bool(turn.trace.steps)


def unshown_from(turn: Turn) -> int | None:
    """The first step that holds a part of the stop string: this text and what came with it was not shown."""
    stop = stop_string(turn)
    if stop is None:
        return None
    start = len(turn.prompt_pieces) - turn.first_step
    kept = b"".join(turn.prompt_pieces[start:])
    at = (kept + b"".join(turn.trace.pieces)).rfind(stop.encode()) - len(kept)
    for index, piece in enumerate(turn.trace.pieces):
        at -= len(piece)
        if at < 0:
            return index
    return None


def stated(finish: Finish | None) -> Finish | None:
    """As docs/json.md says it: `stop` for an end of turn, too."""
    return "stop" if finish == "end" else finish
