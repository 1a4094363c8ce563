"""Turns as a Parquet table; needs pyarrow, the extra `glasshead[parquet]`."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ..errors import UserError
from .export import turn_rows_found
from .json import snowflake
from .missing import Missing
from .new_file import new_file
from .search_syntax import Query
from .store import Store

_INTS = (
    "id", "session", "prompt_message", "reply_message", "parent_turn", "first_step", "seed", "n_prompt", "n_cached",
    "n_out", "dropped_turns", "dropped_tokens", "queue_us", "ttft_us", "gen_us", "created_us",
)  # fmt: skip
_TEXTS = ("requester", "model", "status", "finish", "error", "app_version", "prompt", "reply")


async def write_parquet(
    store: Store,
    query: Query,
    path: Path,
    *,
    missing: Missing | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the turns that ``query`` finds, in row groups, into a new file for its owner alone. What of them
    cannot be read is in ``missing``.

    Raises UserError without pyarrow, and as new_file() does.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise UserError("parquet needs pyarrow: install glasshead[parquet]") from None
    columns = [(name, pa.int64()) for name in _INTS] + [(name, pa.string()) for name in _TEXTS]
    schema = pa.schema([*columns, ("perplexity", pa.float64()), ("verifiable", pa.bool_())])
    done = 0
    with new_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        async for rows in turn_rows_found(store, query, Missing() if missing is None else missing):
            values = [asdict(row) | {"requester": snowflake(row.requester)} for row in rows]
            writer.write_table(pa.Table.from_pylist(values, schema=schema))
            done += len(rows)
            progress(done)
