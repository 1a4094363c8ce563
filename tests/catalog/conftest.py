"""A small valid GGUF file, and loopback servers that hand it out."""

import hashlib
import io
import struct
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def small_gguf(filler: int = 800_000) -> bytes:
    """A GGUF with no tensors, some metadata, and ``filler`` bytes of it that do not compress."""
    noise = b"".join(hashlib.sha256(i.to_bytes(4, "little")).digest() for i in range(filler // 32))
    values = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("test.noise") + struct.pack("<IIQ", 9, 0, len(noise)) + noise,
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(values)


def wheel(name: str, version: str, member: str, content: bytes) -> bytes:
    out = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


@dataclass
class Site:
    """A loopback web server: ``files`` by path, and every request it got. Ranges are honoured."""

    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    status: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def gets(self, path: str) -> list[str | None]:
        """The Range headers of the GETs of ``path``."""
        return [span for method, asked, span in self.requests if method == "GET" and asked == path]


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append((self.command, self.path, self.headers.get("Range")))
            extra = state.headers.get(self.path, {})
            if self.path in state.status:
                code, extra = state.status[self.path]
                return self.answer(code, extra, b"")
            if self.path in state.redirects:
                return self.answer(302, extra | {"Location": state.redirects[self.path]}, b"")
            if self.path not in state.files:
                return self.answer(404, {}, b"")
            body = state.files[self.path]
            span = self.headers.get("Range")
            if span:
                start = int(span.removeprefix("bytes=").rstrip("-"))
                place = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
                return self.answer(206, extra | place, body[start:])
            return self.answer(200, extra, body)

        do_HEAD = do_GET

        def answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(code)
            for key, value in ({"Content-Type": "text/html", "Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                try:
                    self.wfile.write(body)
                except ConnectionError:
                    self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def index(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A package index that only a pip configuration file knows of; it has one package, ``tiny-model 1.0``."""
    content = wheel("tiny_model", "1.0", "tiny_model/tiny.gguf", small_gguf())
    name = "tiny_model-1.0-py3-none-any.whl"
    digest = hashlib.sha256(content).hexdigest()
    site.files["/simple/tiny-model/"] = f'<a href="/files/{name}#sha256={digest}">{name}</a>'.encode()
    site.files[f"/files/{name}"] = content
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = {site.url}/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    return site


@pytest.fixture
def hub(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A hub with one file, ``someone/tiny/tiny.gguf``, kept elsewhere as large files are."""
    content = small_gguf()
    resolve = "/someone/tiny/resolve/main/tiny.gguf"
    site.redirects[resolve] = site.url.replace("127.0.0.1", "localhost") + "/cdn/tiny"  # another host, as there
    site.headers[resolve] = {
        "X-Repo-Commit": "0" * 40,
        "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
        "X-Linked-Size": str(len(content)),
    }
    site.files["/cdn/tiny"] = content
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    return site


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
