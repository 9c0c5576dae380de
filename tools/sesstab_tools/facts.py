"""What runs on a board: its firmware, its heap, and the sesstab on it."""

from __future__ import annotations

from dataclasses import dataclass

from .repl import Board

# Leaves no name and no module behind that was not there before: a program may have loaded its own.
_NAME = "_sesstab_facts"
_ASK = f"""
def {_NAME}():
    import gc, sys

    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else None
    heap = free + gc.mem_alloc() if free is not None else None
    loaded = list(sys.modules)
    try:
        import sesstab
        found = (getattr(sesstab, "__version__", "?"), getattr(sesstab, "ENGINE", "?"))
    except Exception:
        found = ("", "")
    for name in list(sys.modules):
        if name not in loaded and name.split(".")[0] in ("sesstab", "_sesstab"):
            del sys.modules[name]
    system = sys.implementation
    version = ".".join(str(part) for part in system.version if part not in ("", "final"))
    machine = getattr(system, "_machine", sys.platform)
    return (system.name + " " + version, machine, heap, free) + found
"""


@dataclass(frozen=True)
class Facts:
    firmware: str
    machine: str
    heap: int | None
    """Bytes; None where the interpreter does not tell."""
    free: int | None
    sesstab: str
    """Its version; "" where an import fails."""
    engine: str


def ask_facts(board: Board, timeout: float | None = None) -> Facts:
    """Runs code on the board, so it interrupts a program there."""
    board.exec(_ASK, timeout)
    facts = board.eval(f"{_NAME}()", timeout)
    board.exec(f"del {_NAME}", timeout)
    return Facts(*facts)  # type: ignore[misc]
