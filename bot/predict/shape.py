"""A conversation in the shapes that chat templates accept.

Some templates know no system role, some insist that user and assistant take turns, some want a reasoning model's
thoughts in a field of their own. What is said stays; only where it stands changes.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from .layout import Entry, Slot
from .message import Conversation, Message
from .reasoning import split
from .tags import Tags
from .vocabulary import Vocabulary

_NAME_LENGTH = 64
_BETWEEN = "\n\n"


def shapes(
    conversation: Conversation, said: Callable[[Message], str | None], *, tags: Tags, reasoning_field: bool
) -> Iterator[list[Entry]]:
    """The conversation as it is, then without a system role, then with strictly alternating roles.

    ``said`` gives what a message was generated as (``generated_text``), ``reasoning_field`` whether the template
    takes thoughts apart from the text, else between ``tags``.
    """
    entries = [_entry(message, n, said, tags, reasoning_field) for n, message in enumerate(conversation)]
    yield entries
    without_system = _fold_system(entries)
    if without_system != entries:
        yield without_system
    alternating = _alternate(without_system)
    if alternating != without_system:
        yield alternating


def generated_text(message: Message, vocabulary: Vocabulary, tags: Tags) -> str | None:
    """What the message's ids say, if that is the message: the end-of-turn token left out, thoughts included.

    None where there are no ids, or where the text was changed since (cut at a stop string, edited).
    """
    ids = spoken_ids(message, vocabulary)
    if not ids or max(ids) >= vocabulary.n_tokens or min(ids) < 0:
        return None
    text = vocabulary.detokenise(ids).decode(errors="replace")
    wanted = (message.reasoning.strip(), message.text.strip())
    # A control token in the midst of a reply is not shown; its tags are all a thought is told apart by.
    shown = vocabulary.detokenise(id for id in ids if is_shown(id, vocabulary, tags)).decode(errors="replace")
    read = [("", shown), *(split(shown, opened=opened, tags=tags) for opened in (False, True))]
    return text if wanted in [(reasoning.strip(), answer.strip()) for reasoning, answer in read] else None


def is_shown(id: int, vocabulary: Vocabulary, tags: Tags) -> bool:
    """Whether a token says something; of control tokens only those do that mark a thought."""
    return vocabulary.kind(id) != "control" or tags.holds(vocabulary.piece(id).decode(errors="replace"))


def spoken_ids(message: Message, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The message's ids without the token that ended it: templates write that one themselves."""
    ids = message.ids
    if ids and 0 <= ids[-1] < vocabulary.n_tokens and vocabulary.is_end(ids[-1]):
        return ids[:-1]
    return ids


def _entry(
    message: Message, index: int, said: Callable[[Message], str | None], tags: Tags, reasoning_field: bool
) -> Entry:
    if message.role == "assistant":
        return _reply(message, index, said(message), tags, reasoning_field)
    text = Slot(message, index, "text", message.text)
    if message.author is None or message.role == "system":
        return Entry(message.role, (text,))
    return Entry(message.role, (Slot(message, index, "name", f"{speaker(message.author)}: "), text))


def _reply(message: Message, index: int, text: str | None, tags: Tags, reasoning_field: bool) -> Entry:
    if text is None and message.reasoning:
        text = tags.joined(message.reasoning, message.text)
    parts = tags.apart(text) if text is not None and text.strip() != message.text.strip() else None
    if text is None or parts is None:
        return Entry("assistant", (Slot(message, index, "text", message.text if text is None else text),))
    if reasoning_field:
        reasoning = Slot(message, index, "reasoning", message.reasoning) if message.reasoning else None
        return Entry("assistant", (Slot(message, index, "text", message.text),), reasoning)
    answer = Slot(message, index, "text", parts.answer)
    if parts.closing.strip() in tags.headers:
        return Entry("assistant", (answer,))  # the template writes that header itself
    # The tags stand as they are: most templates look for them, to leave old thoughts out.
    return Entry(
        "assistant",
        (parts.opening, Slot(message, index, "reasoning", parts.reasoning), parts.closing, answer),
    )


def speaker(name: str) -> str:
    """A speaker's name that cannot be mistaken for more than a name: one line, no colon, not too long."""
    printable = "".join(c if c.isprintable() and c not in ":：" else " " for c in name)
    return " ".join(printable.split())[:_NAME_LENGTH].rstrip() or "someone"


def _fold_system(entries: list[Entry]) -> list[Entry]:
    """System messages go in front of the next user message."""
    out: list[Entry] = []
    folded: tuple[Slot | str, ...] = ()
    for entry in entries:
        if entry.role == "system":
            folded += (*entry.content, _BETWEEN)
        elif entry.role == "user":
            out.append(replace(entry, content=folded + entry.content))
            folded = ()
        else:
            out.append(entry)
    if folded:
        out.append(Entry("user", folded[:-1]))
    return out


def _alternate(entries: list[Entry]) -> list[Entry]:
    """Neighbours of one role become one message, and an empty user message goes before an assistant's first."""
    out: list[Entry] = []
    for entry in entries:
        if not out and entry.role == "assistant":
            out.append(Entry("user", ("",)))
        if out and out[-1].role == entry.role:
            content = (*out[-1].content, _BETWEEN, *entry.content)
            out[-1] = replace(out[-1], content=content, reasoning=out[-1].reasoning or entry.reasoning)
        else:
            out.append(entry)
    return out
