"""What the API refuses in a message, a modal or a command, with its limits."""

import re
from typing import Any

from .errors import ApiError, invalid
from .things import COMPONENTS_V2, walk

ROW, BUTTON, SELECT, INPUT = 1, 2, 3, 4
SELECTS = (3, 5, 6, 7, 8)
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER, LABEL = 9, 10, 11, 12, 13, 14, 17, 18
ONLY_V2 = (SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER)


def _long(field: str, value: str | None, most: int, least: int = 0) -> None:
    length = len(value or "")
    if length > most:
        raise invalid(field, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    if length < least:
        raise invalid(field, "BASE_TYPE_MIN_LENGTH", f"Must be {least} or more in length.")


def message(content: str, embeds: list[Any], components: list[Any], files: list[str], flags: int) -> None:
    """Raise what the API would raise for a message with these parts after the request."""
    _long("content", content, 2000)
    _embeds(embeds)
    if flags & COMPONENTS_V2:
        if content or embeds:
            raise invalid("content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "V2 has no content.")
        _v2(components, files)
        if not components:
            raise ApiError(400, 50006, "Cannot send an empty message")
        return
    if any(c["type"] in ONLY_V2 for c in walk(components)):
        raise invalid("components", "UNION_TYPE_CHOICES", "Value of field 'type' must be one of (1,).")
    if len(components) > 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    _interactive(components)
    if not (content.strip() or embeds or components or files):
        raise ApiError(400, 50006, "Cannot send an empty message")


def _embeds(embeds: list[Any]) -> None:
    if len(embeds) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    total = 0
    for i, embed in enumerate(embeds):
        at = f"embeds.{i}"
        parts = [(embed.get("title"), 256, "title"), (embed.get("description"), 4096, "description")]
        parts.append(((embed.get("footer") or {}).get("text"), 2048, "footer.text"))
        parts.append(((embed.get("author") or {}).get("name"), 256, "author.name"))
        fields = embed.get("fields", [])
        if len(fields) > 25:
            raise invalid(f"{at}.fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
        for j, each in enumerate(fields):
            _long(f"{at}.fields.{j}.name", each.get("name"), 256, 1)
            _long(f"{at}.fields.{j}.value", each.get("value"), 1024, 1)
            total += len(each["name"]) + len(each["value"])
        for value, most, name in parts:
            _long(f"{at}.{name}", value, most)
            total += len(value or "")
    if total > 6000:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _interactive(components: list[Any]) -> None:
    """Rows, buttons, selects and their ids."""
    ids: set[str] = set()
    for i, component in enumerate(walk(components)):
        at = f"components.{i}"
        kind = component["type"]
        if kind == ROW:
            children = component.get("components", [])
            kinds = [child["type"] for child in children]
            wide = any(k in (*SELECTS, INPUT) for k in kinds)
            if not 1 <= len(children) <= (1 if wide else 5):
                raise invalid(f"{at}.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
        if kind == BUTTON:
            _button(at, component)
        if kind in SELECTS:
            _select(at, component)
        custom_id = component.get("custom_id")
        if custom_id is not None:
            _long(f"{at}.custom_id", custom_id, 100, 1)
            if custom_id in ids:
                raise invalid(f"{at}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", "Custom id is duplicated.")
            ids.add(custom_id)


def _button(at: str, button: dict[str, Any]) -> None:
    _long(f"{at}.label", button.get("label"), 80)
    if not button.get("label") and not button.get("emoji"):
        raise invalid(f"{at}.label", "BUTTON_COMPONENT_INVALID", "A button needs a label or an emoji.")
    link = button.get("style") == 5
    if link != ("url" in button) or link == ("custom_id" in button):
        raise invalid(at, "BUTTON_COMPONENT_INVALID", "A link button has a url and no custom_id.")


def _select(at: str, select: dict[str, Any]) -> None:
    _long(f"{at}.placeholder", select.get("placeholder"), 150)
    options = select.get("options", [])
    if select["type"] == SELECT and not 1 <= len(options) <= 25:
        raise invalid(f"{at}.options", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 25 in length.")
    for j, option in enumerate(options):
        _long(f"{at}.options.{j}.label", option.get("label"), 100, 1)
        _long(f"{at}.options.{j}.value", option.get("value"), 100, 1)
        _long(f"{at}.options.{j}.description", option.get("description"), 100)
    values = [option["value"] for option in options]
    if len(set(values)) != len(values):
        raise invalid(f"{at}.options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "Values must be unique.")
    if sum(bool(option.get("default")) for option in options) > (select.get("max_values") or 1):
        raise invalid(f"{at}.options", "SELECT_COMPONENT_TOO_MANY_DEFAULT_VALUES", "Too many default values.")


def _v2(components: list[Any], files: list[str]) -> None:
    everything = walk(components)
    if len(everything) > 40:
        raise invalid("components", "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "At most 40 components.")
    texts = [c for c in everything if c["type"] == TEXT]
    if sum(len(c["content"]) for c in texts) > 4000:
        raise invalid("components", "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", "At most 4000 characters.")
    for i, component in enumerate(everything):
        at = f"components.{i}"
        kind = component["type"]
        if kind == TEXT:
            _long(f"{at}.content", component["content"], 4000, 1)
        if kind == SECTION and not (1 <= len(component["components"]) <= 3 and "accessory" in component):
            raise invalid(at, "BASE_TYPE_BAD_LENGTH", "A section has 1 to 3 texts and an accessory.")
        if kind == GALLERY and not 1 <= len(component["items"]) <= 10:
            raise invalid(f"{at}.items", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 10 in length.")
        media = [item["media"] for item in component.get("items", [])]
        media += [component[key] for key in ("media", "file") if isinstance(component.get(key), dict)]
        for each in media:
            name = each["url"].removeprefix("attachment://")
            if each["url"].startswith("attachment://") and name not in files:
                raise invalid(at, "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", f"{name} not found.")
    _interactive(components)


def modal(data: dict[str, Any]) -> None:
    _long("data.title", data.get("title"), 45, 1)
    _long("data.custom_id", data.get("custom_id"), 100, 1)
    rows = data.get("components", [])
    if not 1 <= len(rows) <= 5:
        raise invalid("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    for i, component in enumerate(walk(rows)):
        at = f"data.components.{i}"
        if component["type"] == INPUT:
            _long(f"{at}.label", component.get("label"), 45)
            _long(f"{at}.placeholder", component.get("placeholder"), 100)
            _long(f"{at}.value", component.get("value"), component.get("max_length") or 4000)
        if component["type"] == LABEL:
            _long(f"{at}.label", component.get("label"), 45, 1)
            _long(f"{at}.description", component.get("description"), 100)


_SLASH_NAME = re.compile(r"^[-_'\w]{1,32}$")


def commands(payload: list[dict[str, Any]]) -> None:
    """A whole list as PUT by a bot."""
    for kind, most in ((1, 100), (2, 5), (3, 5)):
        if sum(c.get("type", 1) == kind for c in payload) > most:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({most}).")
    seen = set()
    for i, command in enumerate(payload):
        key = (command.get("type", 1), command["name"])
        if key in seen:
            raise invalid(f"{i}.name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Names must be unique.")
        seen.add(key)
        if command.get("type", 1) == 1:
            _command(str(i), command)
        else:
            _long(f"{i}.name", command["name"], 32, 1)


def _command(at: str, command: dict[str, Any]) -> None:
    name = command["name"]
    if not _SLASH_NAME.match(name) or name != name.lower():
        raise invalid(f"{at}.name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    _long(f"{at}.description", command.get("description"), 100, 1)
    options = command.get("options", [])
    if len(options) > 25:
        raise invalid(f"{at}.options", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    optional = False
    for j, option in enumerate(options):
        where = f"{at}.options.{j}"
        _command(where, option)
        if option["type"] > 2:
            if option.get("required") and optional:
                raise invalid(where, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required ones come first")
            optional = optional or not option.get("required")
        if len(option.get("choices", [])) > 25:
            raise invalid(f"{where}.choices", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
