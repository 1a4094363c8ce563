"""A loopback Discord for tests: REST v10 and gateway over real HTTP and WebSockets.

An unmodified discord.py logs in to it. Tests speak through `Double` and the `Person`s it hands out.
"""

from .double import Double, Fault, Request
from .errors import ApiError
from .interactions import Interaction, NoResponse
from .people import Person
from .things import Channel, ChannelType, Guild, Message, Permission, User, walk

__all__ = [
    "ApiError",
    "Channel",
    "ChannelType",
    "Double",
    "Fault",
    "Guild",
    "Interaction",
    "Message",
    "NoResponse",
    "Permission",
    "Person",
    "Request",
    "User",
    "walk",
]
