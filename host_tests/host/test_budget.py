"""What the C core takes on boards is within tools/bench/budget.toml, and what exceeds it is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sesstab_tools import budget, mcu_bench, sizes
from sesstab_tools.errors import BoardError
from sesstab_tools.toolchains import CORTEX_M0, CORTEX_M3, TOOLCHAINS, XTENSA

ROOT = Path(__file__).resolve().parents[2]
MACHINE_OF = {machine.toolchain.chip: machine for machine in mcu_bench.MACHINES}


def test_code_stack_and_tables_are_within_their_budget() -> None:
    assert budget.compare(budget.read(ROOT), budget.measure_sizes(ROOT)) == []


@pytest.mark.slow
def test_modules_are_within_their_budget() -> None:
    assert budget.compare(budget.read(ROOT), budget.measure_modules(ROOT)) == []


@pytest.mark.slow
def test_instructions_are_within_their_budget() -> None:
    assert budget.compare(budget.read(ROOT), budget.measure_instructions(ROOT)) == []


def test_the_budget_has_nothing_that_is_not_measured() -> None:
    chips = {f"bytes of the core, {toolchain.chip}" for toolchain in TOOLCHAINS}
    chips |= {f"instructions, {chip}" for chip in MACHINE_OF}
    assert set(budget.read(ROOT)) == chips | {"bytes of a table", "bytes of _sesstab.mpy"}


# ---- Comparing ----


@pytest.mark.parametrize(
    ("value", "words"),
    [(101, "1 more than its budget of 100"), (94, "well within its budget of 100"), (100, ""), (95, "")],
)
def test_a_figure_beyond_its_budget_or_far_below_it_is_named(value: int, words: str) -> None:
    lines = budget.compare({"bytes": {"code": 100}}, {"bytes": {"code": value}})
    assert len(lines) == bool(words)
    assert all(words in line and f"bytes: code: {value}" in line for line in lines)


def test_a_figure_without_a_budget_is_named() -> None:
    assert "no budget" in budget.compare({}, {"bytes": {"code": 1}})[0]


def test_the_file_says_what_was_measured() -> None:
    figures = {"bytes, of this": {"code, all": 12, "stack": 3}, "instructions": {"hit, 16 sessions": 290.5}}
    assert budget.tomllib.loads(budget.as_toml(figures)) == figures


# ---- Measuring ----


def copy_of_core(folder: Path, old: str, new: str) -> Path:
    """A repository with what the figures are made of, and one change in the core."""
    for part in ("firmware/core", "tools/bench/mcu"):
        shutil.copytree(ROOT / part, folder / part)
    (folder / "build").symlink_to(ROOT / "build")
    core = folder / "firmware" / "core" / "sesstab.c"
    text = core.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the core"
    core.write_text(text.replace(old, new))
    return folder


def test_more_code_and_more_stack_are_found(tmp_path: Path) -> None:
    """A hundred words that come and go: in the stack, and in the code that fills them."""
    body = "{ volatile uint32_t a[100]; for (unsigned k = 0; k < 100; k++) a[k] = k; return t->cache_size; }"
    root = copy_of_core(tmp_path, "{\n    return t->cache_size;\n}", body)
    before, after = (sizes.measure_core(where, CORTEX_M0) for where in (ROOT, root))
    assert after["code"] > before["code"]
    assert after["server"] == before["server"], "a server does not call it"
    assert after["stack"] >= 400 > before["stack"]


def test_variables_are_found(tmp_path: Path) -> None:
    code = "static uint32_t a[25] = {1}, b[10];\n    a[0] += b[0]++;\n    return t->cache_size + a[0];"
    root = copy_of_core(tmp_path, "return t->cache_size;", code)
    assert [sizes.measure_core(root, XTENSA)[key] for key in ("data", "bss")] == [100, 40]


def test_a_call_of_the_c_library_is_found(tmp_path: Path) -> None:
    code = "void *memset(void *, int, size_t);\n    memset(t->slots, 0, t->end);\n    return t->cache_size;"
    root = copy_of_core(tmp_path, "return t->cache_size;", code)
    with pytest.raises(BoardError, match="the core needs memset"):
        sizes.measure_core(root, CORTEX_M0)


def test_recursion_is_found() -> None:
    graph = r"""
        node: { title: "f" label: "f\n8 bytes (static)" } node: { title: "g" label: "g\n16 bytes (static)" }
        edge: { sourcename: "f" targetname: "g" } edge: { sourcename: "f" targetname: "__indirect_call" }
    """
    stack, calls = sizes.read_call_graph(graph)
    assert sizes.deepest("f", stack, calls) == 24
    calls["g"].add("f")
    with pytest.raises(BoardError, match="recursion: f -> g -> f"):
        sizes.deepest("f", stack, calls)


@pytest.mark.slow
def test_an_instruction_more_is_counted(tmp_path: Path) -> None:
    """Four of them, in each hit and nowhere else."""
    root = copy_of_core(
        tmp_path, "renew(t, i);", '__asm__ volatile("nop\\n" "nop\\n" "nop\\n" "nop"); renew(t, i);'
    )
    machine = MACHINE_OF[CORTEX_M3.chip]
    before, after = (mcu_bench.measure(where, machine) for where in (ROOT, root))
    assert after["hit"][64] - before["hit"][64] == pytest.approx(4, abs=0.3)
    assert after["miss"][64] - before["miss"][64] == pytest.approx(0, abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("peer", [mcu_bench.BEARSSL, mcu_bench.MBEDTLS], ids=lambda peer: peer.name)
def test_peers_take_more_instructions_on_a_bare_board(peer: mcu_bench.Table) -> None:
    """As docs/performance.md says, four times ours and more."""
    machine = MACHINE_OF[CORTEX_M0.chip]
    ours, theirs = mcu_bench.measure(ROOT, machine), mcu_bench.measure(ROOT, machine, peer)
    assert set(theirs) == {"hit", "miss", "insert when full"}
    for operation, by_size in theirs.items():
        for size, instructions in by_size.items():
            assert instructions > 4 * ours[operation][size], (operation, size)


def test_a_peer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"no build/peers/bearssl-source: tools/setup/peers\.sh"):
        mcu_bench.build(tmp_path, MACHINE_OF[CORTEX_M0.chip], mcu_bench.BEARSSL, tmp_path / "image")


def test_a_chip_without_its_emulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BoardError, match=r"no qemu-system-arm: tools/setup/emulators\.sh"):
        mcu_bench.measure(ROOT, MACHINE_OF[CORTEX_M0.chip])
