"""The one use case: a message in, a streamed and logged reply out. Front-end neutral."""

from .events import Done, Event, Queued, Started, Text, Thought
from .reply import Reply
from .request import BranchRequest, ReplyRequest, fresh_seed
from .service import Chat, require_branchable
from .speaker import Endings, Other, Speaker

__all__ = [
    "BranchRequest",
    "Chat",
    "Done",
    "Endings",
    "Event",
    "Other",
    "Queued",
    "Reply",
    "ReplyRequest",
    "Speaker",
    "Started",
    "Text",
    "Thought",
    "fresh_seed",
    "require_branchable",
]
