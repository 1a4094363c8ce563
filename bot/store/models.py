"""Models, vocabularies and sampling settings: each stored once, whatever the number of turns."""

import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..predict.engine import ModelIdentity
from ..predict.sampling import Sampling
from .columns import Damaged
from .prepared import run
from .rows import past_damage
from .tables import model, sampling, vocabulary

_MODEL = sa.select(model.c.id).where(model.c.identity_sha256 == sa.bindparam("digest"))
_SAMPLING = sa.select(sampling.c.id).where(sampling.c.sha256 == sa.bindparam("digest"))


@lru_cache(maxsize=64)
def _digest(identity: ModelIdentity) -> bytes:
    return hashlib.sha256(json.dumps(asdict(identity), sort_keys=True).encode()).digest()


@lru_cache(maxsize=64)
def _described(settings: Sampling) -> tuple[str, bytes]:
    text = json.dumps(sampling_json(settings), sort_keys=True)
    return text, hashlib.sha256(text.encode()).digest()


def model_id(connection: sa.Connection, identity: ModelIdentity) -> int:
    """The row of a model, made at first sight, with the vocabulary of its file if one is known."""
    digest = _digest(identity)
    known = run(connection, _MODEL, {"digest": digest}).fetchone()
    if known is not None:
        return int(known[0])
    of_file = sa.select(model.c.vocabulary_id).where(
        model.c.sha256 == identity.sha256, model.c.vocabulary_id.is_not(None)
    )
    values = asdict(identity) | {
        "identity_sha256": digest,
        "vocabulary_id": connection.execute(of_file.limit(1)).scalar(),
    }
    key = connection.execute(model.insert().values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def identity(row: Any) -> ModelIdentity:
    """From a row that carries the columns of ``model`` under the prefix ``model_``."""
    return ModelIdentity(**{field.name: getattr(row, "model_" + field.name) for field in fields(ModelIdentity)})


def sampling_id(connection: sa.Connection, settings: Sampling) -> int:
    text, digest = _described(settings)
    known = run(connection, _SAMPLING, {"digest": digest}).fetchone()
    if known is not None:
        return int(known[0])
    key = connection.execute(sampling.insert().values(sha256=digest, json=text)).inserted_primary_key
    assert key is not None
    return int(key[0])


def sampling_json(settings: Sampling) -> dict[str, Any]:
    """Sampling as a JSON value; null is the bias of a token that is ruled out."""
    values = asdict(settings)
    biases = [[token, bias if math.isfinite(bias) else None] for token, bias in settings.logit_bias]
    return values | {"logit_bias": biases, "stages": list(settings.stages), "stop": list(settings.stop)}


def sampling_from(values: dict[str, Any]) -> Sampling:
    """The other way."""
    lists = {
        "logit_bias": tuple(
            (int(token), -math.inf if bias is None else float(bias)) for token, bias in values["logit_bias"]
        ),
        "stages": tuple(values["stages"]),
        "stop": tuple(values["stop"]),
    }
    return Sampling(**(values | lists))


def pack_pieces(pieces: Sequence[bytes]) -> tuple[bytes, bytes]:
    """SHA-256 over a vocabulary's token bytes, and those compressed."""
    lengths = np.array([len(piece) for piece in pieces], "<u4").tobytes()
    plain = len(pieces).to_bytes(4, "little") + lengths + b"".join(pieces)
    return hashlib.sha256(plain).digest(), zlib.compress(plain, 6)


def unpack_pieces(data: bytes) -> list[bytes]:
    try:
        plain = zlib.decompress(data)
    except zlib.error as error:
        raise Damaged(f"the vocabulary does not decompress: {error}") from None
    count = int.from_bytes(plain[:4], "little")
    ends = (np.cumsum(np.frombuffer(plain, "<u4", count, 4), dtype=np.int64) + 4 + 4 * count).tolist()
    starts = [4 + 4 * count, *ends[:-1]]
    return [plain[start:end] for start, end in zip(starts, ends, strict=True)]


def save_vocabulary(connection: sa.Connection, owner: ModelIdentity, digest: bytes, packed: bytes) -> None:
    """Keep a model file's token bytes, so that its replies can be read when the file is gone."""
    model_id(connection, owner)
    known = connection.execute(sa.select(vocabulary.c.id).where(vocabulary.c.sha256 == digest)).scalar()
    if known is None:
        key = connection.execute(vocabulary.insert().values(sha256=digest, pieces=packed)).inserted_primary_key
        assert key is not None
        known = key[0]
    lacking = sa.and_(model.c.sha256 == owner.sha256, model.c.vocabulary_id.is_distinct_from(known))
    connection.execute(model.update().where(lacking).values(vocabulary_id=known))


def vocabulary_blob(connection: sa.Connection, vocabulary_id: int) -> bytes:
    """Raises Damaged where the file is."""
    query = sa.select(vocabulary.c.pieces).where(vocabulary.c.id == vocabulary_id)
    with past_damage():
        return bytes(connection.execute(query).scalar_one())
    raise Damaged(f"vocabulary {vocabulary_id} cannot be read")
