"""Many ids in one statement, however many."""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa


def among(ids: Collection[int]) -> Any:
    """Ids as a subquery over one JSON parameter: ``column.in_(among(ids))``."""
    return sa.select(sa.literal_column("value")).select_from(sa.func.json_each(json.dumps(list(ids))))
