"""Models by name: what can be had, from where, and fetching it whole or not at all."""

from .catalog import Catalog, locate
from .entry import Entry

__all__ = ["Catalog", "Entry", "locate"]
