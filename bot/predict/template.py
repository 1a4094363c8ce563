"""A model's chat template: messages in, text out, whatever the template tries."""

import atexit
import datetime
import json
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError

PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}{{ 'User: ' + message['content'] + '\\n' }}
{%- else -%}{{ 'Assistant:' + message['content'] + '\\n' }}
{%- endif -%}
{%- endfor -%}
{{- 'Assistant:' -}}
"""
"""For a model that brings no template: a plain transcript, ``User: …`` and ``Assistant: …`` by lines."""

PLAIN_STOP = ("\nUser:",)
"""What ends a reply under PLAIN, where nothing marks the end of a turn."""

EXHAUSTED = "it computed too long or wanted too much memory"

_DATES = ("strftime_now", "datetime")
"""What a template can ask the date by."""

_SCRIPT = Path(__file__).with_name("template_process.py")
_PATIENCE_SECONDS = 60


class TemplateRefused(UserError):
    """The template rejects this conversation (no system role, roles that must alternate)."""


class ChatTemplate:
    """One template with what it may know besides the messages: the date, and the names of BOS and EOS.

    Safe to use from any thread; all templates share one process.
    """

    def __init__(self, source: str, *, date: datetime.date, bos: str = "", eos: str = "") -> None:
        self.source = source
        self.asks_date = any(name in source for name in _DATES)
        """Whether what it writes may depend on the date."""
        self._date = date
        self._names = {"bos": bos, "eos": eos}
        common = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
        # Templates written for tools are not all content with "none"; some insist on lists.
        self._variables: tuple[dict[str, Any], ...] = (
            {**common, "tools": None, "documents": None},
            {**common, "tools": [], "documents": [], "functions": "[]", "datetime": date.isoformat()},
        )

    def dated(self, date: datetime.date) -> "ChatTemplate":
        """The same with another date."""
        return ChatTemplate(self.source, date=date, **self._names)

    def render(self, *conversations: Sequence[Mapping[str, Any]]) -> list[str]:
        """The text of each conversation, with the beginning of a reply at its end.

        Raises TemplateRefused where the template says no, UserError where it is broken, takes more than a few
        seconds of computing, or wants more memory than any honest template.
        """
        answer: dict[str, Any] = {}
        refusal: TemplateRefused | None = None
        for variables in self._variables:
            answer = _process.ask(
                {
                    "template": self.source,
                    "date": self._date.isoformat(),
                    "variables": variables,
                    "conversations": conversations,
                }
            )
            if "texts" in answer:
                texts: list[str] = answer["texts"]
                return texts
            if "raised" in answer:
                said = f"the model's chat template refuses this conversation: {answer['raised']}"
                refusal = refusal or TemplateRefused(said)
            elif answer["error"] == EXHAUSTED:
                break
        if refusal is not None:
            raise refusal
        raise UserError(f"the model's chat template fails: {answer['error']}")


class _Process:
    """The process that runs templates: started when first needed, and again when a template brought it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            child = self._running()
            try:
                return self._exchange(child, line)
            except (OSError, EOFError):
                self.stop()
                return {"error": EXHAUSTED}

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.stop()
            # -P: this folder has modules named like the standard library's (queue).
            self._child = subprocess.Popen(  # noqa: S603 (our own interpreter and script)
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for us, not for it
            )
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], line: bytes) -> dict[str, Any]:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(line)
        child.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(_PATIENCE_SECONDS):
                raise EOFError
        reply = child.stdout.readline()
        if not reply.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(reply)
        return answer


_process = _Process()
atexit.register(_process.stop)
