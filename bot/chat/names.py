"""Who is named in a prompt: nobody while one person talks, everybody once there are several."""

from dataclasses import replace

from ..predict.message import Conversation


def named(conversation: Conversation) -> Conversation:
    """The log knows each message's author; a model should only read names where it has people to tell apart."""
    if len({message.author for message in conversation if message.role == "user"}) > 1:
        return conversation
    return tuple(replace(message, author=None) for message in conversation)
