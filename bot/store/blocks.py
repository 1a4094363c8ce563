"""Exact prompts without storing each conversation again at every turn.

Token ids are cut into blocks of 256; a block knows its parent, so prompts that begin alike share what they
share. A block is found by a hash of everything up to its end, keyed with a secret of its session: without the
key, which goes when the session goes, nobody can test a guess at erased words. Ids after the last whole block
stay with the turn.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import sqlalchemy as sa

from .columns import Damaged, squeeze, unsqueeze
from .prepared import inserted
from .rows import past_damage
from .tables import prompt_block

BLOCK = 256
SHORT = 128
"""Fewer ids are not worth compressing."""
ERASED = -1
"""Stands where a token id was erased."""


def pack_ids(ids: Sequence[int]) -> bytes:
    """Token ids as bytes: a width (2 or 4), then compressed or plain, whichever is shorter."""
    values = np.array(ids, np.int64) + 1
    if values.size and (values.min() < 0 or values.max() > 0xFFFFFFFF):
        raise ValueError("a token id is out of range")
    wide = bool(values.size) and int(values.max()) > 0xFFFF
    plain = values.astype("<u4" if wide else "<u2").tobytes()
    small = squeeze(plain, pairs=True) if len(ids) >= SHORT else plain
    width = 4 if wide else 2
    return bytes([width | 0x10]) + small if len(small) < len(plain) else bytes([width]) + plain


def unpack_ids(data: bytes) -> tuple[int, ...]:
    if not data or not isinstance(data, bytes):
        raise Damaged("no token ids")
    plain = unsqueeze(data[1:], pairs=True) if data[0] & 0x10 else data[1:]
    return tuple((np.frombuffer(plain, "<u4" if data[0] & 4 else "<u2").astype(np.int64) - 1).tolist())


class PackedPrompt:
    """A prompt's ids, hashed and packed: made off the event loop, saved inside a transaction."""

    def __init__(self, ids: Sequence[int], key: bytes) -> None:
        whole = len(ids) - len(ids) % BLOCK
        self.blocks: list[tuple[bytes, bytes]] = []
        parent = b""
        for start in range(0, whole, BLOCK):
            packed = pack_ids(ids[start : start + BLOCK])
            parent = hashlib.blake2b(parent + packed, key=key, digest_size=16).digest()
            self.blocks.append((parent, packed))
        self.tail = pack_ids(ids[whole:])


_KNOWN = sa.select(prompt_block.c.hash, prompt_block.c.id).where(
    prompt_block.c.session_id == sa.bindparam("session"),
    prompt_block.c.hash.in_(sa.bindparam("hashes", expanding=True)),
)
_INSERT = prompt_block.insert()


def save_blocks(connection: sa.Connection, session: int, packed: PackedPrompt) -> int | None:
    """Save the blocks that are new to the session; the id of the last one."""
    if not packed.blocks:
        return None
    hashes = [hash_ for hash_, _ in packed.blocks]
    rows = connection.execute(_KNOWN, {"session": session, "hashes": hashes})
    known = {bytes(hash_): id_ for hash_, id_ in rows}
    last: int | None = None
    for hash_, ids in packed.blocks:
        if hash_ in known:
            last = known[hash_]
            continue
        values = {"session_id": session, "parent_id": last, "hash": hash_, "ids": ids}
        last = inserted(connection, _INSERT, values)
    return last


_CHAINS = sa.text(
    """
    WITH RECURSIVE chain (id, parent_id) AS (
        SELECT id, parent_id FROM prompt_block WHERE id IN (SELECT value FROM json_each(:ids))
        UNION
        SELECT b.id, b.parent_id FROM prompt_block b JOIN chain ON b.id = chain.parent_id
    )
    SELECT b.id, b.parent_id, b.ids FROM prompt_block b JOIN chain ON b.id = chain.id
    """
)


def chains(connection: sa.Connection, ids: Collection[int]) -> dict[int, tuple[int | None, bytes]]:
    """Some blocks and all before them: (parent's id, packed ids), by id. Those that cannot be read are left out."""
    with past_damage():
        rows = connection.execute(_CHAINS, {"ids": json.dumps(list(ids))}) if ids else ()
        return {row.id: (row.parent_id, row.ids) for row in rows}
    out: dict[int, tuple[int | None, bytes]] = {}
    left: set[int | None] = set(ids)
    while left := left - out.keys() - {None}:
        at = left.pop()
        with contextlib.suppress(sa.exc.DatabaseError):
            for row in connection.execute(_BLOCK, {"id": at}):
                out[row.id] = row.parent_id, row.ids
                left.add(row.parent_id)
    return out


_BLOCK = sa.select(prompt_block).where(prompt_block.c.id == sa.bindparam("id"))
_CHAIN = sa.text(
    """
    WITH RECURSIVE chain (id, parent_id, ids, depth) AS (
        SELECT id, parent_id, ids, 0 FROM prompt_block WHERE id = :last
        UNION ALL
        SELECT b.id, b.parent_id, b.ids, depth + 1 FROM prompt_block b JOIN chain ON b.id = chain.parent_id
        WHERE b.id < chain.id -- of a damaged file: else it might go round
    )
    SELECT id, ids FROM chain ORDER BY depth DESC
    """
)


def chain(connection: sa.Connection, last: int | None) -> list[tuple[int, bytes]]:
    """The blocks (id, packed ids) that end with ``last``, first one first; those after one that is lost."""
    if last is None:
        return []
    with past_damage():
        return [(row.id, row.ids) for row in connection.execute(_CHAIN, {"last": last})]
    blocks = chains(connection, [last])
    return [(id_, blocks[id_][1]) for id_ in up_to(blocks, last)]


def up_to(blocks: Mapping[int, tuple[int | None, bytes]], last: int | None) -> list[int]:
    """Block ids from the first, or the one after one that is lost, to ``last``."""
    out: list[int] = []
    while last is not None and last in blocks and (not out or last < out[-1]):
        out.append(last)
        last = blocks[last][0]
    return out[::-1]
