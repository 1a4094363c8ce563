"""The command tree of `glasshead`."""

import typer

from . import chat, doctor, explain, log, model, review, run, tour, verify

app = typer.Typer(
    name="glasshead",
    help="A chat bot with a glass head: a local model answers, and every token can be explained and proven.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(chat.chat)
app.command()(explain.explain)
app.command()(verify.verify)
app.command()(tour.tour)
app.add_typer(log.app, name="log")
app.add_typer(model.app, name="model")
app.command()(review.review)
app.command()(doctor.doctor)
