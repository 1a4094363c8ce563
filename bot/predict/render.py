"""From a conversation to a prompt: the model's own template, tokenised with the origin of every token."""

import datetime
from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate

from ..errors import UserError
from .layout import Layout, Piece, Slot
from .message import Conversation, Message, Role
from .prompt import Prompt, Span, SpanKind
from .shape import generated_text, shapes, spoken_ids
from .tags import tags_of, thought_field
from .template import PLAIN, PLAIN_STOP, ChatTemplate, TemplateRefused
from .vocabulary import Unwritable, Vocabulary

_Origin = tuple[SpanKind, Role | None, int | None]
_MARKER: _Origin = ("marker", None, None)
_OPENING = 16  # tokens the tag that opens a thought has at most
_STEPS = 4  # a conversation too long is cut in steps of a quarter of the budget


class Renderer:
    """Renders conversations through one model's chat template. Safe to use from any thread.

    The template's own text is tokenised with special tokens, everything people typed without, and an earlier reply
    goes back as the ids it was generated as wherever the template leaves its text alone. So the ids of a prompt
    and its reply are the beginning of the next prompt's, and a cached prefix is found again.

    ``template`` None is for a model that brings none: a plain transcript (``template.PLAIN``). ``date`` is what a
    template gets when it asks for the time; ``dated`` gives each conversation its own. ``stop`` are the strings
    that end a reply under this template besides the model's own end tokens, ``tags`` those around a thought.
    """

    def __init__(self, vocabulary: Vocabulary, template: str | None, *, date: datetime.date) -> None:
        self._vocabulary = vocabulary
        self.stop: tuple[str, ...] = PLAIN_STOP if template is None else ()
        self._template = ChatTemplate(
            PLAIN if template is None else template,
            date=date,
            bos=_name(vocabulary, vocabulary.bos),
            eos=_name(vocabulary, vocabulary.eos),
        )
        self.tags = tags_of(self._template.source, frozenset(vocabulary.special.values()))
        self._field = thought_field(self._template.source)
        # A reply is the same at every turn that follows it.
        self._said = lru_cache(maxsize=1024)(partial(generated_text, vocabulary=vocabulary, tags=self.tags))

    @property
    def asks_date(self) -> bool:
        """Whether a prompt may depend on the date."""
        return self._template.asks_date

    def dated(self, date: datetime.date) -> "Renderer":
        """The same for a conversation that began on ``date``: at its later turns the prompt still begins alike."""
        other = copy(self)
        other._template = self._template.dated(date)
        return other

    def render(self, conversation: Conversation, *, budget: int) -> Prompt:
        """The prompt, at most ``budget`` tokens long.

        A longer conversation loses whole turns, oldest first, never the system message nor the newest user message
        with what follows it; a pure function of the conversation, in steps large enough that the turns after a
        loss find their prefix cached again. Raises UserError where what must stay does not fit.
        """
        if not conversation:
            raise UserError("there is no message to answer")
        pieces = self._pieces(conversation)
        ids, spans = self._tokenise(pieces)
        if len(ids) <= budget:
            return Prompt(tuple(ids), tuple(spans), budget=budget)
        return self._shortened(conversation, pieces, len(ids), budget)

    def limits(self) -> tuple[str, ...]:
        """What the template cannot do, a line each; it is tried out."""
        system, user = Message("system", "Be brief."), Message("user", "Hello")
        try:
            self._pieces((user,))
        except UserError as error:
            return (str(error),)
        entries = next(shapes((system, user), self._said, tags=self.tags, reasoning_field=False))
        layout = Layout(entries, self._template.source)
        try:
            (text,) = self._template.render(layout.messages(edges=False))
            if _has_all(layout.pieces(text, text), (system, user)):
                return ()
        except UserError:
            pass
        return ("its chat template has no system role: the system prompt goes before the first message",)

    def opens_thought(self, prompt: Prompt) -> bool:
        """Whether the prompt ends inside a thought that the template has begun."""
        # Not at the very end: the first tokens of a reply may already stand there. And nothing that was typed.
        last = next((span for span in reversed(prompt.spans) if span.kind == "marker"), None)
        if last is None:
            return False
        tail = self._vocabulary.detokenise(prompt.ids[max(last.start, last.end - _OPENING) : last.end])
        return tail.decode(errors="replace").rstrip().endswith(self.tags.open)

    def _shortened(self, conversation: Conversation, pieces: list[Piece], length: int, budget: int) -> Prompt:
        starts = _turn_starts(conversation)
        droppable = len(starts) - 1
        step = max(1, budget // _STEPS)
        wanted = -(-(length - budget) // step) * step
        lost = list(accumulate(self._turn_lengths(pieces, starts)[:droppable]))
        dropped = next((n for n, tokens in enumerate(lost, 1) if tokens >= wanted), droppable)
        while True:
            kept = conversation[: starts[0]] + conversation[starts[dropped] :] if starts else conversation
            ids, spans = self._tokenise(self._pieces(kept))
            if len(ids) <= budget:
                return Prompt(tuple(ids), tuple(spans), dropped, length - len(ids), budget)
            if dropped >= droppable:
                raise self._too_long(kept, len(ids), budget)
            dropped += 1

    def _turn_lengths(self, pieces: Sequence[Piece], starts: Sequence[int]) -> list[int]:
        """About how many tokens each turn takes; what the template writes counts to the text after it."""
        lengths = [0] * len(starts)
        pending = 0
        for piece in pieces:
            pending += len(
                self._text(piece, piece.slot)[0]
                if piece.slot
                else self._vocabulary.tokenise(piece.text, special=True)
            )
            if piece.slot is not None:
                turn = bisect_right(starts, piece.slot.index) - 1
                if turn >= 0:
                    lengths[turn] += pending
                pending = 0
        return lengths

    def _too_long(self, kept: Conversation, length: int, budget: int) -> UserError:
        def size(message: Message) -> int:
            return len(self._vocabulary.tokenise(self._vocabulary.writable(message.text), special=False))

        newest = size(kept[-1])
        system = sum(size(message) for message in kept if message.role == "system")
        beside = f" beside a system prompt of {system}" if system else ""
        return UserError(
            f"the message is too long: it takes {newest} tokens{beside}, {length} with the template, "
            f"and there is room for {budget}"
        )

    def _pieces(self, conversation: Conversation) -> list[Piece]:
        """The rendered template taken apart, in the first shape of the conversation that it accepts."""
        refusal: UserError | None = None
        made = list(shapes(conversation, self._said, tags=self.tags, reasoning_field=self._field is not None))
        for as_parts in (False, True):
            for entries in made:
                layout = Layout(entries, self._template.source, self._field)
                given = [layout.messages(edges=edges, as_parts=as_parts) for edges in (True, False)]
                try:
                    texts = self._template.render(*given[: 1 + layout.has_edges])
                except TemplateRefused as error:
                    refusal = refusal or error
                    continue
                except UserError as error:
                    refusal = error
                    break
                pieces = layout.pieces(texts[0], texts[-1])
                if _has_all(pieces, conversation):
                    return pieces
        raise refusal or UserError("the model's chat template leaves messages out of the prompt")

    def _tokenise(self, pieces: list[Piece]) -> tuple[list[int], list[Span]]:
        parts = self._parts(pieces)
        bos = self._vocabulary.bos
        if self._vocabulary.adds_bos and bos is not None and parts[0][0][:1] != [bos]:
            parts.insert(0, ([bos], _MARKER))
        ids: list[int] = []
        bounds: list[tuple[int, _Origin]] = []
        for new, origin in parts:
            # Only the template's own text runs on: two texts are two, also where both are of one message.
            if new and not (origin == _MARKER and bounds and bounds[-1][1] == origin):
                bounds.append((len(ids), origin))
            ids += new
        ends = [start for start, _ in bounds[1:]] + [len(ids)]
        return ids, [Span(start, end, *origin) for (start, origin), end in zip(bounds, ends, strict=True)]

    def _parts(self, pieces: list[Piece]) -> list[tuple[list[int], _Origin]]:
        """Ids and where they come from, in order."""
        tokenise = self._vocabulary.tokenise
        out: list[tuple[list[int], _Origin]] = []
        at = 0
        while at < len(pieces):
            piece, at = pieces[at], at + 1
            if piece.slot is not None:
                out.append(self._text(piece, piece.slot))
                continue
            own = piece.text
            # The pieces after this one that belong to one reply, with what the template wrote in between.
            reply, end = _reply(pieces, at)
            said = self._said(reply) if reply is not None else None
            written = "".join(piece.text for piece in pieces[at:end])
            if reply is None or said is None or not (said.endswith(written) and (own + written).endswith(said)):
                out.append((tokenise(own, special=True), _MARKER))
                continue
            # What the template wrote just before the reply may be what the model itself began it with.
            own = own[: len(own) + len(written) - len(said)]
            out.append((tokenise(own, special=True), _MARKER))
            out.append((list(spoken_ids(reply, self._vocabulary)), ("generated", reply.role, reply.id)))
            at = end
        return out

    def _text(self, piece: Piece, slot: Slot) -> tuple[list[int], _Origin]:
        try:
            return self._vocabulary.tokenise(piece.text, special=False), _origin(piece, slot)
        except Unwritable:
            # Better a "?" than a conversation that can never be answered again.
            piece = replace(piece, text=self._vocabulary.writable(piece.text))
            return self._vocabulary.tokenise(piece.text, special=False), _origin(piece, slot)


def _reply(pieces: Sequence[Piece], at: int) -> tuple[Message | None, int]:
    """The assistant message whose texts begin at ``at``, if one does, and where its last text ends."""
    slot = pieces[at].slot if at < len(pieces) else None
    if slot is None or slot.message.role != "assistant":
        return None, at
    while at + 2 < len(pieces) and (later := pieces[at + 2].slot) is not None and later.index == slot.index:
        at += 2
    return slot.message, at + 1


def _origin(piece: Piece, slot: Slot) -> _Origin:
    kind: SpanKind
    if slot.part == "name":
        kind = "marker"
    elif slot.message.role == "assistant" or piece.is_changed:
        kind = "rewritten"
    else:
        kind = "typed"
    return kind, slot.message.role, slot.message.id


def _has_all(pieces: Sequence[Piece], conversation: Conversation) -> bool:
    """Whether every message's text is there; thoughts may be left out."""
    found = {piece.slot.index for piece in pieces if piece.slot is not None and piece.slot.part == "text"}
    return len(found) == len(conversation)


def _turn_starts(conversation: Conversation) -> list[int]:
    """Where each turn begins: at every user message. What comes before the first belongs to none, unless it is
    a reply, which goes with the first turn."""
    starts = [n for n, message in enumerate(conversation) if message.role == "user"]
    opening = [n for n, message in enumerate(conversation) if message.role != "system"]
    return [opening[0], *starts[1:]] if starts else []


def _name(vocabulary: Vocabulary, id: int | None) -> str:
    return "" if id is None else vocabulary.piece(id).decode(errors="replace")
