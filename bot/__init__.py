"""Glasshead: a chat bot whose every prediction can be looked at, replayed and proven.

The rooms, from the inside out: ``predict`` (token ids in, distributions out), ``explain`` (recorded
predictions in, explanations out), ``store`` (the log), ``chat`` (a message in, a reply out), and the front
ends ``plugin`` (Discord), ``review`` (a local web page) and ``cli`` (the terminal).
"""


def __getattr__(name: str) -> str:
    """``__version__``, looked up when asked for: to import what can look it up takes a fifth of a short command."""
    if name != "__version__":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("glasshead")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"
