"""How much the C core takes on a board: code, its deepest stack, a table's memory, the native modules."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from .errors import BoardError
from .toolchains import CORTEX_M0, Toolchain, run

CAPACITIES = (8, 16, 32, 64, 128, 253, 256)  # 253 is the most with links of one byte
SPARE, DATA_SIZE = 2, 50
MODULES = ("armv6m", "armv7m", "armv7emsp", "rv32imc", "xtensawin", "x64")

# What a server calls. The rest of the core is not linked into its image.
SERVER = ("init", "new_session", "add_session", "get_session", "session_data", "free")


def measure_core(root: Path, toolchain: Toolchain) -> dict[str, int]:
    """Bytes: code and constants of the table, of as much of it as a server links, and of snapshots; data and
    bss; the deepest stack of any function, in the table and with snapshots above it, without what callbacks
    take."""
    flags = ("-ffunction-sections", "-fno-asynchronous-unwind-tables", "-fcallgraph-info=su", "-c")
    with tempfile.TemporaryDirectory() as folder:
        table, server, snapshot = (Path(folder, f"{name}.o") for name in ("table", "server", "snapshot"))
        core = root / "firmware" / "core"
        toolchain.compile(root, *flags, core / "sesstab.c", "-o", table)
        table_graph = table.with_suffix(".ci").read_text()
        toolchain.compile(root, *flags, core / "sesstab_snapshot.c", "-o", snapshot)
        snapshot_graph = snapshot.with_suffix(".ci").read_text()
        roots = [f"-Wl,-u,sesstab_{name}" for name in SERVER]
        toolchain.compile(root, "-nostdlib", "-r", "-Wl,--gc-sections", *roots, table, "-o", server)
        check_needs(root, toolchain, table, snapshot)
        parts = {path.stem: measure_sections(root, toolchain, path) for path in (table, server, snapshot)}
    code = {name: part["text"] + part["rodata"] for name, part in parts.items()}
    return {
        "code": code["table"],
        "server": code["server"],
        "snapshots": code["snapshot"],
        "data": parts["table"]["data"] + parts["snapshot"]["data"],
        "bss": parts["table"]["bss"] + parts["snapshot"]["bss"],
        "stack": deepest_of_all(table_graph),
        "stack, snapshots": deepest_of_all(table_graph + snapshot_graph),
    }


def check_needs(root: Path, toolchain: Toolchain, table: Path, snapshot: Path) -> None:
    """The core calls no library: a dynamic native module has none."""
    needs = [run([toolchain.tool(root, "nm"), "-u", str(path)]).split()[1::2] for path in (table, snapshot)]
    if alien := [*needs[0], *(name for name in needs[1] if not name.startswith("sesstab_"))]:
        raise BoardError(f"{toolchain.chip}: the core needs {', '.join(alien)}")


def measure_sections(root: Path, toolchain: Toolchain, object_: Path) -> dict[str, int]:
    sizes = dict.fromkeys(("text", "rodata", "data", "bss"), 0)
    for name, size in re.findall(
        r"^\.(\S+)\s+(\d+)\s", run([toolchain.tool(root, "size"), "-A", str(object_)]), re.M
    ):
        kind = "text" if name.startswith("literal") else name.split(".")[0].removeprefix("s")
        if kind in sizes:
            sizes[kind] += int(size)
    return sizes


def read_call_graph(text: str) -> tuple[dict[str, int], dict[str, set[str]]]:
    """gcc's -fcallgraph-info=su: each function's stack, and whom it calls."""
    stack = {
        name: int(size)
        for name, size in re.findall(r'node: \{ title: "([^"]*)".*?\\n(\d+) bytes \(static\)', text)
    }
    calls: dict[str, set[str]] = {name: set() for name in stack}
    for caller, callee in re.findall(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"', text):
        if callee != "__indirect_call":  # a callback
            calls[caller].add(callee)
    return stack, calls


def deepest_of_all(graph: str) -> int:
    stack, calls = read_call_graph(graph)
    return max(deepest(name, stack, calls) for name in stack)


def deepest(name: str, stack: dict[str, int], calls: dict[str, set[str]], path: tuple[str, ...] = ()) -> int:
    """The bytes of stack below a function; there must be no recursion."""
    if name in path:
        raise BoardError(f"recursion: {' -> '.join((*path, name))}")
    return stack[name] + max((deepest(c, stack, calls, (*path, name)) for c in calls[name]), default=0)


def measure_tables(root: Path, toolchain: Toolchain = CORTEX_M0) -> dict[int, int]:
    """Bytes that a table of so many TLS 1.2 sessions takes on a 32-bit board, everything included."""
    lines = [f"SESSTAB_MEMORY(table_{n}, {n}, {SPARE}, {DATA_SIZE});" for n in CAPACITIES]
    with tempfile.TemporaryDirectory() as folder:
        source, object_ = Path(folder, "tables.c"), Path(folder, "tables.o")
        source.write_text("\n".join(['#include "sesstab.h"', *lines, ""]))
        toolchain.compile(root, f"-I{root / 'firmware' / 'core'}", "-c", source, "-o", object_)
        symbols = run([toolchain.tool(root, "nm"), "-S", str(object_)])
    found = {int(n): int(size, 16) for size, n in re.findall(r"^\S+ (\S+) \S table_(\d+)$", symbols, re.M)}
    return dict(sorted(found.items()))


def measure_module(root: Path, architecture: str) -> int:
    """Bytes of _sesstab.mpy."""
    found = sorted((root / "dist" / "natmod").glob(f"{architecture}_*/_sesstab.mpy"))
    sources = [f for f in (root / "firmware").glob("*/*.[ch]") if f.parent.name in ("core", "module")]
    newest = max(source.stat().st_mtime for source in sources)
    if not found or found[-1].stat().st_mtime < newest:
        what = "is older than its sources" if found else "is not there"
        raise BoardError(f"_sesstab.mpy for {architecture} {what}: tools/setup/natmod.sh all builds it")
    return found[-1].stat().st_size
