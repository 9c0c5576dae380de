"""The app that the commands add themselves to."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

# Markdown, so that the lines of a docstring become paragraphs as wide as the terminal.
app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="markdown"
)


def examples(*commands: str) -> str:
    """The end of a command's help: each example on a line of its own, as one types it."""
    return "\n".join(["Examples:", "```", *commands, "```"])


def _show_version(asked: bool) -> None:
    if asked:
        print(f"sesstab {version('sesstab-tools')}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        'sesstab exec --port unix "import sesstab; print(sesstab.ENGINE)"',
        "sesstab repl --port RPI_PICO",
        "sesstab COMMAND --help",
    )
)
def sesstab(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """TLS sessions on MicroPython boards: talk to a board, flash it, deploy to it, test it, watch its table.

    Each command has --help with examples. A port is a device, any pyserial URL, or an emulated board's name.
    """
