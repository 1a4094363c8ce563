"""The log: every message, prompt and prediction, in one SQLite file that one process writes.

``store.Store`` is what others use. Underneath: ``tables`` and ``migrate`` (the schema), ``database`` (the
connections), ``codec`` (a trace as bytes), ``blocks`` (exact prompts without repetition), and one module of
plain functions over a connection for each thing that is asked of the log.
"""

from .faults import StoreError
from .lock import Owned
from .records import MessageRow, SessionRow, TurnRow
from .store import Store

__all__ = ["MessageRow", "Owned", "SessionRow", "Store", "StoreError", "TurnRow"]
