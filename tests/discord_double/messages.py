"""Creating, changing and removing messages, whoever does it: one set of rules for REST and interactions."""

import re
from typing import TYPE_CHECKING, Any

from . import validation
from .errors import ApiError, forbidden
from .gateway import DIRECT_MESSAGES, GUILD_MESSAGES
from .mentions import notified, pinging_text
from .things import COMPONENTS_V2, EPHEMERAL, LOADING, Attachment, Channel, Message, User

if TYPE_CHECKING:
    from .double import Double

_MENTION = re.compile(r"<@!?(\d+)>")
KEPT_FLAGS = EPHEMERAL | COMPONENTS_V2 | 1 << 2 | 1 << 12
Upload = tuple[str, str, bytes]
"""File name, content type, data."""


def _attachments(
    double: "Double", payload: dict[str, Any], uploads: dict[int, Upload], old: list[Attachment]
) -> list[Attachment]:
    """Kept ones by id, new ones by index into the uploads."""
    described = payload.get("attachments")
    if described is None:
        described = [{"id": index} for index in uploads]
        kept = list(old)
    else:
        kept = [a for a in old if any(str(a.id) == str(d["id"]) for d in described)]
    for each in described:
        if int(each["id"]) in uploads:
            name, kind, data = uploads[int(each["id"])]
            name = each.get("filename", name)
            kept.append(Attachment(double.clock.snowflake(), name, data, kind, each.get("description")))
    return kept


def create(
    double: "Double",
    author: User,
    channel: Channel,
    payload: dict[str, Any],
    uploads: dict[int, Upload],
    *,
    token: str | None = None,
    interaction: dict[str, Any] | None = None,
    loading: bool = False,
    announce: bool = True,
    more: dict[str, Any] | None = None,
    id: int | None = None,
) -> Message:
    """A message exists from here on, and everybody concerned hears of it (ephemeral ones aside)."""
    world = double.world
    if not double.bare and payload.get("enforce_nonce") and payload.get("nonce") is not None:
        earlier = channel.nonces.get(payload["nonce"])
        if earlier is not None and earlier.author is author:
            return earlier
    flags = payload.get("flags", 0) & KEPT_FLAGS
    refuse_unknown(double, payload)
    content = payload.get("content") or ""
    embeds, components = payload.get("embeds") or [], payload.get("components") or []
    files = _attachments(double, payload, uploads, [])
    if not (loading or more):
        validation.message(content, embeds, components, [a.filename for a in files], flags)
    reference, reference_id = None, None
    if payload.get("message_reference"):
        reference_id = int(payload["message_reference"]["message_id"])
        reference = channel.messages.get(reference_id)
        if reference is None or reference.deleted:
            if payload["message_reference"].get("fail_if_not_exists", True):
                raise ApiError(
                    400,
                    50035,
                    "Invalid Form Body",
                    {
                        "message_reference": {
                            "_errors": [{"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}]
                        }
                    },
                )
            reference, reference_id = None, None
    now = double.clock.now()
    message = Message(
        double.clock.snowflake() if id is None else id,
        channel,
        author,
        content,
        embeds,
        components,
        files,
        flags | (LOADING if loading else 0),
        reference,
        reference_id,
        payload.get("nonce"),
        created_at=now,
        revisions=[(now, content)],
        token=token,
        interaction=interaction,
        webhook_id=world.application_id if token else None,
        more=more or {},
    )
    pings = notified(
        world, author, channel, pinging_text(content, components), payload.get("allowed_mentions"), reference
    )
    message.pinged = set() if message.ephemeral else pings
    message.mention_everyone = "everyone" in pings
    message.mentions = [world.users[int(who)] for who in sorted(pings) if who.isdigit() and int(who) in world.users]
    channel.messages[message.id] = message
    if message.nonce is not None:
        channel.nonces[message.nonce] = message
    if announce and not message.ephemeral:
        double.gateway.dispatch_message("MESSAGE_CREATE", message)
    double.changed()
    return message


def edit(
    double: "Double", editor: User, message: Message, payload: dict[str, Any], uploads: dict[int, Upload]
) -> Message:
    if message.author is not editor:
        raise forbidden(50005, "Cannot edit a message authored by another user")
    refuse_unknown(double, payload)
    content = message.content if "content" not in payload else payload["content"] or ""
    embeds = message.embeds if "embeds" not in payload else payload["embeds"] or []
    components = message.components if "components" not in payload else payload["components"] or []
    flags = message.flags & ~LOADING
    if payload.get("flags") is not None:
        flags = (flags & ~(1 << 2)) | (payload["flags"] & (COMPONENTS_V2 | 1 << 2))
        flags |= message.flags & (COMPONENTS_V2 | EPHEMERAL)
    files = _attachments(double, payload, uploads, message.attachments)
    validation.message(content, embeds, components, [a.filename for a in files], flags)
    message.content, message.embeds, message.components = content, embeds, components
    message.flags, message.attachments = flags, files
    message.edited_at = double.clock.now()
    message.revisions.append((message.edited_at, content))
    message.mentions = [
        double.world.users[int(u)] for u in _MENTION.findall(content) if int(u) in double.world.users
    ]
    if not message.ephemeral:
        double.gateway.dispatch_message("MESSAGE_UPDATE", message)
    double.changed()
    return message


def refuse_unknown(double: "Double", payload: dict[str, Any]) -> None:
    """A bare Discord has never heard of Components V2."""
    if double.bare and (payload.get("flags") or 0) & COMPONENTS_V2:
        raise ApiError(400, 50035, "Invalid Form Body")


def delete(double: "Double", message: Message) -> None:
    message.deleted = True
    message.channel.messages.pop(message.id, None)
    if not message.ephemeral:
        data = {"id": str(message.id), "channel_id": str(message.channel.id)}
        double.gateway.dispatch_in(message.channel, "MESSAGE_DELETE", data, GUILD_MESSAGES, DIRECT_MESSAGES)
    double.changed()
