"""Refusals as the API words them."""

from typing import Any


class ApiError(Exception):
    """An HTTP status, Discord's own error code, and its message."""

    def __init__(self, status: int, code: int, message: str, errors: dict[str, Any] | None = None) -> None:
        super().__init__(f"{status} ({code}): {message} {errors or ''}")
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        if errors:
            self.body["errors"] = errors


def invalid(field: str, code: str, message: str) -> ApiError:
    """50035 with the nested error tree of the real API; ``field`` is dotted."""
    tree: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(field.split(".")):
        tree = {part: tree}
    return ApiError(400, 50035, "Invalid Form Body", tree)


def unknown(code: int, what: str) -> ApiError:
    return ApiError(404, code, f"Unknown {what}")


def forbidden(code: int = 50013, message: str = "Missing Permissions") -> ApiError:
    return ApiError(403, code, message)
