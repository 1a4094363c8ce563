"""`python -m glasshead`."""

from .cli import main

main()
