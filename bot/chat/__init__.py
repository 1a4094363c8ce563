"""The one use case: a message in, a streamed and logged reply out. Front-end neutral."""

from .events import Done, Event, Queued, Started, Text, Thought
from .reply import Reply
from .request import BranchRequest, ReplyRequest, fresh_seed
from .service import Chat
from .speaker import Speaker

__all__ = [
    "BranchRequest",
    "Chat",
    "Done",
    "Event",
    "Queued",
    "Reply",
    "ReplyRequest",
    "Speaker",
    "Started",
    "Text",
    "Thought",
    "fresh_seed",
]
