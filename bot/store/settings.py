"""What a front end remembers about a server, a channel or a person: named JSON values."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from .faults import StoreError
from .tables import setting


def settings_of(connection: sa.Connection, scope: str, scope_id: int) -> dict[str, Any]:
    query = sa.select(setting.c.name, setting.c.value).where(
        setting.c.scope == scope, setting.c.scope_id == scope_id
    )
    try:
        return {name: json.loads(value) for name, value in connection.execute(query)}
    except (ValueError, TypeError):
        raise StoreError(
            "damaged", f"a setting of {scope} {scope_id} is damaged: run `glasshead log check`"
        ) from None


def set_setting(connection: sa.Connection, scope: str, scope_id: int, name: str, value: Any) -> None:
    """None forgets it."""
    if value is None:
        here = (setting.c.scope == scope, setting.c.scope_id == scope_id, setting.c.name == name)
        connection.execute(setting.delete().where(*here))
        return
    statement = insert(setting).values(scope=scope, scope_id=scope_id, name=name, value=json.dumps(value))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["scope", "scope_id", "name"], set_={"value": statement.excluded.value}
        )
    )
