"""Glasshead: a chat bot whose every prediction can be looked at, replayed and proven.

The rooms, from the inside out: ``predict`` (token ids in, distributions out), ``explain`` (recorded
predictions in, explanations out), ``store`` (the log), ``chat`` (a message in, a reply out), and the front
ends ``plugin`` (Discord), ``review`` (a local web page) and ``cli`` (the terminal).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("glasshead")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
