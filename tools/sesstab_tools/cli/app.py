"""The app that the commands add themselves to."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="TLS sessions on MicroPython boards: talk to a board, deploy to it, test it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
