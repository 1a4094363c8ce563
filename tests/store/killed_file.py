"""A process that works on the log's file until it is killed: `python killed_file.py WORK LOG BACKUP STOP`.

WORK is migrate, backup or restore. It kills itself at the STOP-th step: a call that touches a file or the database,
or the return from one. With STOP 0 it lives, and says how many steps there are.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType

from glasshead.store import backup as backups
from glasshead.store import migrate

STEPS = {
    "open", "close", "write", "pwrite", "ftruncate", "fsync", "rename", "replace", "unlink", "link", "chmod",
    "touch", "mkdir", "copyfile", "connect", "execute", "executescript", "backup", "commit", "rollback", "flock",
}  # fmt: skip
NEXT = """
from alembic import op
revision, down_revision = "9999", "{head}"
def upgrade():
    op.execute("CREATE TABLE later (id INTEGER PRIMARY KEY, word TEXT NOT NULL)")
    op.execute("INSERT INTO later (word) SELECT text FROM message")
    op.execute("ALTER TABLE message ADD COLUMN later INTEGER NOT NULL DEFAULT 0")
    op.execute("UPDATE message SET later = id")
    op.execute("CREATE INDEX message_later ON message (later)")
"""


def add_a_migration(folder: Path) -> None:
    """Give the program one more version of the schema, as if it had been updated."""
    if not folder.exists():
        shutil.copytree(migrate._SCRIPTS, folder)
        (folder / "versions" / "9999_next.py").write_text(NEXT.format(head=migrate.HEAD))
    migrate._SCRIPTS = folder
    migrate.REVISIONS = (*migrate.REVISIONS, "9999")
    migrate.HEAD = "9999"


def killing(stop: int) -> Callable[[FrameType, str, object], None]:
    steps = count(1)

    def see(frame: FrameType, event: str, what: object) -> None:
        name = getattr(what, "__name__", "") if event.startswith("c_") else ""
        if name in STEPS and next(steps) == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    killing.steps = steps
    return see


def main(work: str, log: Path, copy: Path, stop: int) -> None:
    if work == "migrate":
        add_a_migration(log.parent / "migrations")
    print("begin", flush=True)
    sys.setprofile(killing(stop))
    if work == "migrate":
        migrate.migrate(log)
    elif work == "backup":
        backups.backup(log, copy)
    else:
        backups.restore(log, copy)
    sys.setprofile(None)
    print("end", next(killing.steps), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
