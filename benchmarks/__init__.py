"""Measurements: peers side by side in one run. `make bench`."""

import os

# Importing glasshead sets libgomp's spin for this process and those it starts: a peer has to be what it is without.
ENVIRONMENT = dict(os.environ)
"""The environment as it was found. Nothing of glasshead is imported before this line."""
