"""Spans of a prompt as bytes: about two bytes a span."""

from typing import get_args

import numpy as np

from ..predict.message import Role
from ..predict.prompt import Span, SpanKind
from .columns import Damaged, Reader, planes, squeeze, unsqueeze, zigzag

_KINDS: tuple[SpanKind, ...] = ("marker", "typed", "generated", "rewritten")
_ROLES: tuple[Role | None, ...] = (None, "system", "user", "assistant")
assert set(_KINDS) == set(get_args(SpanKind))


def pack_spans(spans: tuple[Span, ...]) -> bytes:
    """Spans must follow each other without gap from position 0."""
    at = 0
    for span in spans:
        if span.start != at or span.end < span.start:
            raise ValueError("the spans of a prompt cover it without gap or overlap")
        at = span.end
    known = [span.message for span in spans if span.message is not None]
    base = known[0] if known else 0
    origin = np.zeros(len(spans), np.int64)
    last = base
    for i, span in enumerate(spans):
        if span.message is not None:
            origin[i] = int(zigzag(np.array(span.message - last, np.int64))) + 1
            last = span.message
    codes = bytes(_KINDS.index(span.kind) * 4 + _ROLES.index(span.role) for span in spans)
    sizes = np.array([span.end - span.start for span in spans], np.int64)
    head = len(spans).to_bytes(4, "little") + base.to_bytes(8, "little")
    return squeeze(head + codes + planes(sizes, 4) + planes(origin, 6))


def unpack_spans(data: bytes) -> tuple[Span, ...]:
    reader = Reader(unsqueeze(data))
    count = int.from_bytes(reader.take(4), "little")
    last = int.from_bytes(reader.take(8), "little")
    codes = reader.take(count)
    sizes = _whole(reader.take(4 * count), count)
    origins = _whole(reader.take(6 * count), count)
    reader.end()
    spans: list[Span] = []
    at = 0
    for code, size, origin in zip(codes, sizes, origins, strict=True):
        if code >= 4 * len(_KINDS):
            raise Damaged("a span of unknown kind")
        if origin:
            step = origin - 1
            last += (step >> 1) ^ -(step & 1)
        spans.append(Span(at, at + size, _KINDS[code // 4], _ROLES[code % 4], last if origin else None))
        at += size
    return tuple(spans)


def _whole(data: bytes, count: int) -> list[int]:
    """Numbers from their byte planes. There are few: numpy would take longer to begin."""
    values = [0] * count
    for place in range(len(data) // count if count else 0):
        plane = data[place * count : (place + 1) * count]
        if any(plane):
            values = [value | byte << 8 * place for value, byte in zip(values, plane, strict=True)]
    return values
