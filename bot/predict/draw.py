"""The randomness of a reply: a counter-based generator, so that any single draw can be computed alone.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011), with the key
(seed, 0) and the counter (t, 0, 0, 0). The draw is the upper 32 bits of the block's first word. The same number
from numpy, which counts up before it computes a block:

    numpy.random.Philox(key=seed, counter=(t - 1) % 2**256).random_raw() >> 32
"""

import numpy as np
from numpy.typing import NDArray

TICKETS = 1 << 32
"""A draw is one of this many equally likely tickets: u = ticket / 2³²."""

SEED_LIMIT = 1 << 53
"""Seeds stay below: JavaScript and Discord's integer options hold no more."""

_WORD = (1 << 64) - 1
_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_W0, _W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B


def draw(seed: int, t: int) -> float:
    """u(seed, t), uniform on {0, 1, …, 2³² - 1} / 2³²: the draw that picks token ``t`` of a reply."""
    if not 0 <= seed < SEED_LIMIT or not 0 <= t <= _WORD:
        raise ValueError(f"no draw for seed {seed}, step {t}: 0 <= seed < 2**53 and 0 <= t < 2**64 are needed")
    c0, c1, c2, c3 = t, 0, 0, 0
    k0, k1 = seed, 0
    for _ in range(10):
        high, low = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (low >> 64) ^ c1 ^ k0, low & _WORD, (high >> 64) ^ c3 ^ k1, high & _WORD
        k0, k1 = (k0 + _W0) & _WORD, (k1 + _W1) & _WORD
    return (c0 >> 32) / TICKETS


def tickets(seed: int, first: int, count: int) -> NDArray[np.int64]:
    """The tickets of ``count`` draws of a reply, from its draw number ``first`` on: many cost what one does."""
    if not 0 <= seed < SEED_LIMIT or not 0 <= first <= _WORD - count:
        raise ValueError(f"no draws for seed {seed}, steps {first} to {first + count - 1}")
    blocks = np.random.Philox(key=seed, counter=(first - 1) % 2**256).random_raw(4 * count)
    return (blocks[::4] >> np.uint64(32)).astype(np.int64)
