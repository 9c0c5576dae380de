"""sesstab test"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ..deploy import find_root
from ..device_report import write_report
from .app import app, examples
from .options import Port, Root, is_emulated


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=examples(
        "sesstab test --port /dev/ttyACM0 --report report.md",
        "sesstab test --port RPI_PICO --engine native --junit junit.xml",
        "sesstab test --port unix -k evict -x",
    ),
)
def test(
    context: typer.Context,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="cpython, or an emulated board (repeatable). Default: all."),
    ] = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", help="pure or native (repeatable).")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit's XML.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page (Markdown) to attach to a bug report.")
    ] = None,
    port: Port = None,
    root: Root = None,
) -> None:
    """Runs the device tests: on the board if --port names one, else on all that can be emulated.

    Other arguments go to pytest, whose status is the command's.
    """
    if report and report.suffix != ".md":
        raise typer.BadParameter(f"--report {report}: the page is Markdown, so its name ends in .md")
    for path in (report, junit):
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise typer.BadParameter(f"{path}: cannot be written: it is a folder, or in none")
    folder = find_root(root)
    options = [f"--target={name}" for name in target or []] + [f"--engine={name}" for name in engine or []]
    if port and is_emulated(port, root):
        options.append(f"--target={port}")
    elif port:
        options.append(f"--port={port if '://' in port else os.path.abspath(port)}")
    with tempfile.TemporaryDirectory() as scratch:
        results = junit.resolve() if junit else Path(scratch) / "junit.xml"
        results.unlink(missing_ok=True)  # what an earlier run left is not what this one found
        command = [sys.executable, "-m", "pytest", "host_tests/device", *options, *context.args]
        status = subprocess.call([*command, f"--junitxml={results}"], cwd=folder)
        if report and results.exists():
            report.write_text(write_report(results, ["sesstab", *sys.argv[1:]]), encoding="utf-8")
            print(f"{report}: written")
    raise typer.Exit(status)
