"""Units of reading and writing, and what came of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
"""A plain function over a connection. It runs between BEGIN and COMMIT, and may be run again from the start."""
Result = tuple[Any, Exception | None]


def caught(call: Callable[[], Any]) -> Result:
    """What ``call`` returned, or raised."""
    try:
        return call(), None
    except Exception as error:
        return None, error


def apart(connection: sa.Connection, work: Work[Any]) -> Result:
    """The result of ``work``, or what it raised with what it did undone. Raises what the database raises."""
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection  # SQLAlchemy's own savepoints take ten times as long
    driver.execute("SAVEPOINT apart")
    result, error = caught(partial(work, connection))
    if isinstance(error, sa.exc.DBAPIError):
        raise error  # the transaction may be gone with it
    if error is not None:
        driver.execute("ROLLBACK TO apart")
    driver.execute("RELEASE apart")
    return result, error
