"""Numbers in addresses: no longer than what the log can hold."""

from starlette.convertors import Convertor, register_url_convertor

DIGITS = 18


class Key(Convertor[int]):
    """``{id:key}`` in a route."""

    regex = f"[0-9]{{1,{DIGITS}}}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("key", Key())


def key(text: str | None) -> int | None:
    """A number from a query or a form; None for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= DIGITS else None
