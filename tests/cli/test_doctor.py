"""`glasshead doctor`: each finding, from the real thing."""

import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import discord.http
import numpy as np
import pytest
from glasshead.cli import checks
from glasshead.config import DiscordSection, EngineSection, ModelSection, ReviewSection, Settings, StoreSection
from glasshead.predict import cgroup
from glasshead.store.migrate import migrate
from predict.gguf_writer import write_gguf
from predict.tiny import tiny
from pydantic import SecretStr

TOKEN = "MTIz.secret-token"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GLASSHEAD_") and k != "DISCORD_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "glasshead", "doctor", *arguments],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, model_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / model_path.name).symlink_to(model_path)
    return tmp_path


class TestCommand:
    def test_a_healthy_machine_passes_with_one_line_each(self, folder: Path) -> None:
        done = run(folder)
        assert done.returncode == 0, done.stdout
        rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        assert {status for status, _ in rows} <= {"ok", "warn"}
        for what in ("python", "compiler", "llama.cpp", "settings", "model", "database", "discord", "review port"):
            assert sum(text.startswith(what) for _, text in rows) == 1, what
        assert not (folder / "data").exists()

    def test_what_fails_is_named_with_a_remedy_and_exit_code_1(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[sampling]\ntop_q = 1\n[nope]")
        done = run(tmp_path, "--json")
        assert done.returncode == 1
        failed = {row["what"]: row for row in json.loads(done.stdout) if row["status"] == "fail"}
        assert set(failed) == {"settings", "model"}
        assert failed["model"]["remedy"] == "glasshead model pull smollm2-135m-instruct"
        assert all(row["remedy"] for row in failed.values())
        assert sum(row["what"] == "settings" for row in json.loads(done.stdout)) == 2


def told_of(tmp_path: Path, **section: object) -> list[checks.Finding]:
    return list(checks.models(Settings(model=ModelSection(folder=tmp_path, **section))))  # type: ignore[arg-type]


class TestModels:
    def test_damage_is_found(self, model_path: Path, tmp_path: Path) -> None:
        (missing,) = told_of(tmp_path)
        assert (missing.status, missing.remedy) == ("fail", "glasshead model pull smollm2-135m-instruct")
        content = bytearray(model_path.read_bytes())
        content[-1] ^= 1
        (tmp_path / model_path.name).write_bytes(content)
        assert told_of(tmp_path)[0].detail.endswith("wrong checksum")
        (tmp_path / model_path.name).write_bytes(content[:-1000])
        assert "truncated" in told_of(tmp_path)[0].detail

    def test_a_file_without_a_template_is_a_warning(self, tmp_path: Path) -> None:
        (finding,) = told_of(tmp_path, name=str(tiny(tmp_path / "bare.gguf")))
        assert (finding.status, "without a chat template" in finding.detail) == ("warn", True)

    def test_what_the_bot_would_not_start_with_is_found(self, model_path: Path, tmp_path: Path) -> None:
        small = tiny(tmp_path / "small.gguf", template="{{ messages[0].content }}")
        diffusion = tiny(tmp_path / "dream.gguf", "dream")
        adapter = write_gguf(
            tmp_path / "lora.gguf",
            {"general.architecture": "qwen2", "general.type": "adapter", "adapter.type": "lora"},
            {"blk.0.attn_q.weight.lora_a": np.zeros((4, 64), np.float32)},
        )
        others = (str(diffusion), str(model_path), str(tmp_path / "none.gguf"))
        found = told_of(tmp_path, name=str(small), others=others, memory_mb=200)
        assert [finding.status for finding in found] == ["ok", "fail", "fail", "fail"]
        for finding, said in zip(
            found[1:], ("is a diffusion model", "of 200 MB for models", "no such file"), strict=True
        ):
            assert said in finding.detail and finding.remedy
        (unfit,) = told_of(tmp_path, name=str(small), adapter=str(adapter))
        assert (unfit.status, "is for qwen2 models" in unfit.detail) == ("fail", True)


class TestDatabase:
    def test_a_log_of_ours_is_fine(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        migrate(path)
        assert checks.database(Settings(store=StoreSection(path=path))).status == "ok"

    def test_one_of_a_newer_program_or_of_another_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "log.db"
        migrate(path)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        finding = checks.database(Settings(store=StoreSection(path=path)))
        assert (finding.status, "newer" in finding.detail) == ("fail", True)
        path.write_bytes(b"not a database at all, just some words that go on for a while" * 20)
        assert checks.database(Settings(store=StoreSection(path=path))).status == "fail"


class TestDiscord:
    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
        state: dict[str, object] = {"code": 200, "body": {"name": "Bob", "flags": 0}, "asked": []}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state["asked"] = [self.path, self.headers["Authorization"]]
                body = json.dumps(state["body"]).encode()
                self.send_response(int(str(state["code"])))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{server.server_port}/api/v10")
        yield state
        server.shutdown()
        thread.join()
        server.server_close()

    settings = Settings(discord=DiscordSection(token=SecretStr(TOKEN)))

    def test_the_token_is_tried_and_never_shown(self, answers: dict[str, object]) -> None:
        finding = checks.discord_access(self.settings)
        assert answers["asked"] == ["/api/v10/applications/@me", f"Bot {TOKEN}"]
        assert TOKEN not in repr(finding)

    @pytest.mark.parametrize(
        ("flags", "status"), [(0, "warn"), (1 << 18, "ok"), (1 << 19, "ok"), (1 << 14, "warn")]
    )
    def test_the_message_content_intent_is_looked_up(
        self, flags: int, status: str, answers: dict[str, object]
    ) -> None:
        answers["body"] = {"name": "Bob", "flags": flags}
        finding = checks.discord_access(self.settings)
        assert finding.status == status
        assert ("Message Content Intent" in finding.remedy) == (status == "warn")

    def test_a_refused_token_fails_and_an_outage_warns(self, answers: dict[str, object]) -> None:
        answers["code"] = 401
        assert checks.discord_access(self.settings).status == "fail"
        answers["code"] = 503
        assert checks.discord_access(self.settings).status == "warn"

    def test_without_network_or_token_it_warns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(discord.http.Route, "BASE", "http://127.0.0.1:9")
        assert "cannot be reached" in checks.discord_access(self.settings).detail
        assert checks.discord_access(Settings()).remedy == "set DISCORD_TOKEN"


def test_a_taken_port_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(review=ReviewSection(port=server.getsockname()[1]))
        assert checks.review_port(settings).status == "warn"
    assert checks.review_port(settings).status == "ok"


class TestThreads:
    def test_more_threads_than_cores_is_a_warning(self) -> None:
        finding = checks.threads(Settings(engine=EngineSection(threads=512)))
        assert (finding.status, "512 threads are configured" in finding.detail) == ("warn", True)

    @pytest.mark.parametrize(
        ("files", "quota"),
        [
            ({"cpu.max": "150000 100000\n"}, 1.5),
            ({"cpu.max": "max 100000\n"}, math.inf),
            ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
            ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
            ({}, math.inf),
        ],
    )
    def test_the_cgroup_quota_is_read(
        self, files: dict[str, str], quota: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cgroup, "_ROOT", tmp_path)
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        assert cgroup.cores() == quota
