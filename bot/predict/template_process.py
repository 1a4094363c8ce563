"""Runs chat templates in a process of its own. A script: it imports nothing of this package.

A chat template is a program from a stranger, inside the GGUF file. Jinja's immutable sandbox keeps it from Python;
it does not keep it from looping for ever or making gigabytes, and no thread can be stopped or bounded from
outside. A process can. One JSON request per line on stdin, one JSON answer per line on stdout.
"""

import contextlib
import datetime
import json
import resource
import sys
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 2
MAX_CHARACTERS = 8_000_000


class Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks the assistant's text for training; for us its content is all there is to it."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own interface)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Raised(jinja2.TemplateError):
    """The template itself refused, with ``raise_exception``."""


def raise_exception(message: str) -> NoReturn:
    raise Raised(str(message))


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: no HTML escaping, unlike Jinja's own."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(date: datetime.date) -> jinja2.Environment:
    """The environment that templates are written for (transformers' ``apply_chat_template``)."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    midnight = datetime.datetime.combine(date, datetime.time())
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = midnight.strftime
    return made


def texts(request: dict[str, Any], compiled: dict[tuple[str, str], jinja2.Template]) -> list[str]:
    """What the template writes for each of the request's conversations."""
    key = (request["template"], request["date"])
    if key not in compiled:
        compiled[key] = environment(datetime.date.fromisoformat(key[1])).from_string(key[0])
    out = []
    for messages in request["conversations"]:
        parts, size = [], 0
        for part in compiled[key].generate(**request["variables"], messages=messages):
            parts.append(part)
            size += len(part)
            if size > MAX_CHARACTERS:
                raise MemoryError
        out.append("".join(parts))
    return out


def answer(request: dict[str, Any], compiled: dict[tuple[str, str], jinja2.Template]) -> dict[str, Any]:
    """``{"texts": […]}``, or ``{"raised": message}``, or ``{"error": message}``."""
    try:
        return {"texts": texts(request, compiled)}
    except Raised as error:
        return {"raised": str(error)}
    except MemoryError:
        return {"error": "it wants too much memory"}
    except RecursionError:
        return {"error": "it recurses without end"}
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {error.message}"}
    except Exception as error:  # whatever a stranger's program may raise
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def main() -> None:
    limits = {resource.RLIMIT_AS: MEMORY_BYTES, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    for limit, value in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS does not know all of them
            resource.setrlimit(limit, (value, value))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    compiled: dict[tuple[str, str], jinja2.Template] = {}
    for line in sys.stdin.buffer:
        # Seconds of computing, not of waiting: a busy machine is no fault of the template's.
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, hard))
        reply = json.dumps(answer(json.loads(line), compiled))
        sys.stdout.buffer.write(reply.encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
