"""Models by name: the catalog, where each one comes from, and fetching it whole or not at all."""

from .catalog import Entry, find, load_catalog, locate
from .pull import pull

__all__ = ["Entry", "find", "load_catalog", "locate", "pull"]
