"""`glasshead model`: which models there are, fetching one, and what a file holds."""

import hashlib
from math import prod
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalog import Catalog, Entry, locate
from ..config import load_settings
from ..errors import UserError
from ..explain.visible import neutral
from ..predict import gguf
from ..predict.model import file_sha256
from .options import Config
from .printing import print_json

app = typer.Typer(help="Models: list, fetch, look inside.", no_args_is_help=True, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("list")
def list_models(as_json: AsJson = False, config: Config = None) -> None:
    """The models known by name, and which of them are here."""
    settings = load_settings(config)
    catalog = Catalog.load(settings.model.folder)
    configured = {settings.model.name: "model"}
    if settings.model.adapter:
        configured[settings.model.adapter] = "adapter"
    rows = [_row(catalog, entry, entry.name in configured) for entry in catalog.entries.values()]
    for name, kind in configured.items():
        if name in catalog.entries:
            continue
        try:
            rows.append(_row(catalog, catalog.entry(name), True) | {"kind": kind})
        except UserError as error:
            rows.append(_NOWHERE | {"name": name, "kind": kind, "notes": str(error)})
    if as_json:
        print_json(rows)
        return
    width = max(len(neutral(row["name"])) for row in rows)
    for row in rows:
        mark, name = "*" if row["configured"] else " ", neutral(row["name"])
        here = "installed" if row["installed"] else "-"
        size = f"{row['size'] / 1e6:,.0f} MB" if isinstance(row["size"], int) else "?"
        typer.echo(f"{mark} {name:<{width}}  {here:<9}  {size:>8}  {row['licence']:<10}  {neutral(row['notes'])}")
    typer.echo("* is the configured one. Any GGUF file can be used: set its path as [model] name.", err=True)


def _row(catalog: Catalog, entry: Entry, is_configured: bool) -> dict[str, Any]:
    path = catalog.find(entry.name)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "installed": path is not None,
        "configured": is_configured,
        "size": path.stat().st_size if path else entry.size,
        "licence": entry.licence,
        "path": str(path) if path else None,
        "notes": entry.notes,
    }


_NOWHERE: dict[str, Any] = {
    "name": "", "kind": "", "installed": False, "configured": True, "size": None,
    "licence": "unknown", "path": None, "notes": "",
}  # fmt: skip
"""What is configured and cannot be found."""


@app.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A name from the list, hf:OWNER/REPOSITORY/FILE.gguf, or a path; else the configured one."
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Fetch a model: checksum verified, whole or not at all. Does nothing if it is here already."""
    settings = load_settings(config)
    typer.echo(Catalog.load(settings.model.folder).pull(name or settings.model.name))


@app.command()
def info(
    name: Annotated[str | None, typer.Argument(help="A name or a path; else the configured one.")] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """What a model file holds, read from its header."""
    settings = load_settings(config)
    # What is known but not here is not fetched just to look at it.
    facts = describe(locate(name or settings.model.name, settings.model.folder))
    if as_json:
        print_json(facts)
        return
    template = facts["template_sha256"]
    shown = facts | {
        "size": f"{facts['size']:,} bytes",
        "parameters": f"{facts['parameters']:,}",
        "template": f"yes, SHA-256 {template}" if template else "none: a plain one is used instead",
    }
    hidden = ("kind", "template_sha256", "template_text")
    for key, value in shown.items():
        if key not in hidden:
            typer.echo(f"{key.replace('_', ' '):<15} {'unknown' if value is None else neutral(str(value))}")
    for line in (facts["template_text"] or "").splitlines():
        typer.echo(f"  {neutral(line)}")


def describe(path: Path) -> dict[str, Any]:
    """The facts of a model file. ``vocabulary`` and ``context_length`` in tokens. Raises UserError."""
    header = gguf.read(path)
    template = header.text("tokenizer.chat_template") or None
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return {
        "path": str(path),
        "size": path.stat().st_size,
        "sha256": file_sha256(path),
        "title": header.text("general.name"),
        "kind": header.text("general.type") or "model",
        "architecture": header.architecture,
        "quantization": header.quantization,
        "parameters": sum(prod(tensor.shape) for tensor in header.tensors),
        "vocabulary": tokens.count if isinstance(tokens, gguf.Array) else None,
        "context_length": header.n_ctx_train,
        "template": template is not None,
        "template_sha256": hashlib.sha256(template.encode()).hexdigest() if template else None,
        "licence": header.text("general.license"),
        "template_text": template,
    }
