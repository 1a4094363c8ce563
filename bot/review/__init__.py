"""The local web page over the log: find a session, read it, open a reply token by token, compare, mark.

``app`` builds it, ``entry`` guards it, `pages` asks the log. Reading needs no script.
"""

from .app import create_app

__all__ = ["create_app"]
