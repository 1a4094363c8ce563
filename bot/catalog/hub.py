"""A model on the Hugging Face hub (or on a mirror that HF_ENDPOINT names).

The pieces of huggingface_hub are used rather than its one-call download, which since 2.x throws away what an
interrupted download had.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from ..errors import UserError
from .entry import HubFile, Report

_SHA256_DIGITS = 64


def look(source: HubFile) -> HfFileMetadata:
    """Ask the hub for the file's size and checksum (its ETag, for large files)."""
    with _Named(source):
        return get_hf_file_metadata(_url(source))


def sha256_of(metadata: HfFileMetadata) -> str | None:
    etag = metadata.etag or ""
    return etag if len(etag) == _SHA256_DIGITS else None


def fetch(source: HubFile, metadata: HfFileMetadata, part: Path, report: Report) -> None:
    """Download to ``part``, going on where an earlier attempt at the same file stopped."""

    class Bar:
        """What huggingface_hub needs of a progress bar."""

        def __init__(self, *, total: int | None = None, initial: int = 0, **_: object) -> None:
            self._done, self._total = initial, total

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, n: int = 1) -> None:
            self._done += n
            report(self._done, self._total)

    with part.open("ab") as file, _Named(source):
        http_get(
            _url(source),
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(),
            expected_size=metadata.size,
            tqdm_class=cast("type", Bar),
        )


def _url(source: HubFile) -> str:
    # HF_ENDPOINT is read here as well: the library reads it once, when first imported.
    return hf_hub_url(source.repository, source.file, endpoint=os.environ.get("HF_ENDPOINT") or None)


class _Named:
    """Says in one line what went wrong with a file of the hub."""

    def __init__(self, source: HubFile) -> None:
        self._name = f"hf:{source.repository}/{source.file}"

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception):
            return
        raise UserError(f"{self._name}: {_reason(error)}") from None


# The first match counts: a gated repository is also one that is not found.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (GatedRepoError, "its owner asks you to accept terms first: do so on its page, then set HF_TOKEN"),
    (RemoteEntryNotFoundError, "the repository has no such file"),
    (RepositoryNotFoundError, "no such repository (or a private one: set HF_TOKEN)"),
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE is set, so nothing can be downloaded"),
)


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, HfHubHTTPError):
        return f"the hub answered {error.response.status_code}; try again later"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return f"the hub cannot be reached ({type(error).__name__}); what was downloaded is kept: try again to go on"
