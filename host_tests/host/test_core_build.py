"""How the C core compiles: without warnings, without libc. How much it takes: test_budget.py."""

import re
import shutil
import subprocess

import _sesstab
import pytest

CORE = _sesstab.CORE
SOURCE = CORE / "sesstab.c"
OPENSSL_NAMES = _sesstab.ROOT / "host_tests" / "ccore" / "openssl_names.c"
FLAGS = ["-std=c99", "-pedantic", *_sesstab.WARNINGS]


def compile_core(compiler, flags, out):
    subprocess.run([compiler, *FLAGS, *flags, "-c", str(SOURCE), "-o", str(out)], check=True, cwd=out.parent)
    return out


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def compilers():
    return ["gcc", *[c for c in ("clang", "clang-14") if shutil.which(c)][:1]]


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O2", "-O3"])
def test_compiles_without_warnings_and_needs_no_symbol(compiler, level, tmp_path):
    out = compile_core(compiler, [level, "-fno-stack-protector"], tmp_path / "core.o")
    assert run("nm", "-u", out) == ""


def test_position_independent_code_needs_no_relocated_data(tmp_path):
    """A dynamic native module can have neither data with pointers nor tables of jumps."""
    out = compile_core(
        "gcc",
        ["-O2", "-fpic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"],
        tmp_path / "core.o",
    )
    relocated = re.findall(r"Relocation section '\.rela?(\S+)'", run("readelf", "-r", "-W", out))
    assert set(relocated) <= {".text"}
    writable = [
        line for line in run("readelf", "-S", "-W", out).splitlines() if re.search(r"\s(WA|WAT)\s", line)
    ]
    assert all(re.search(r"\.(data|bss)\s+\S+\s+\S+\s+\S+\s+000000\s", line) for line in writable), writable


def test_cpp_can_include_the_header(tmp_path):
    program = tmp_path / "use.cpp"
    program.write_text('#include "sesstab.h"\nsize_t f() { return sesstab_size(8, 2, 50); }\n')
    subprocess.run(
        ["g++", "-Wall", "-Wextra", "-Werror", f"-I{CORE}", "-c", str(program), "-o", str(tmp_path / "o")],
        check=True,
    )


def build_and_run(program, tmp_path, *flags):
    source = tmp_path / "program.c"
    source.write_text(program)
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wconversion"]
    command = ["gcc", "-std=c99", *warnings, f"-I{CORE}", *flags, source, SOURCE, "-o", tmp_path / "program"]
    subprocess.run(list(map(str, command)), check=True)
    return run(tmp_path / "program")


def test_declared_memory_has_the_size_that_is_needed(tmp_path):
    capacities = [1, 2, 3, 5, 8, 16, 31, 64, 100, 252, 253, 254, 255, 256, 257, 1000, 32767]
    sizes = [(c, s, d) for c in capacities for s in (0, 1, 2, 3, 300) for d in (1, 2, 3, 4, 49, 50, 51)]
    declarations = "".join(
        f"static SESSTAB_MEMORY(m{i}, {c}, {s}, {d});\n" for i, (c, s, d) in enumerate(sizes)
    )
    checks = "".join(
        f"    check(sizeof m{i}, SESSTAB_SIZE({c}, {s}, {d}), sesstab_size({c}, {s}, {d}), m{i});\n"
        for i, (c, s, d) in enumerate(sizes)
    )
    program = f"""
#include <stdio.h>
#include "sesstab.h"
{declarations}
static int checked;
static void check(size_t declared, size_t constant, size_t needed, void *memory)
{{
    if (declared >= needed && declared < needed + 8 && constant == needed && (size_t)memory % 8 == 0)
        checked++;
}}
int main(void)
{{
{checks}    printf("%d", checked);
    return 0;
}}
"""
    assert build_and_run(program, tmp_path) == str(len(sizes))


def test_openssl_names_do_what_they_say(tmp_path):
    assert build_and_run(OPENSSL_NAMES.read_text(), tmp_path) == "done"


def test_openssl_names_refuse_to_meet_openssl(tmp_path):
    program = tmp_path / "both.c"
    program.write_text('#define OPENSSL_SSL_H\n#include "sesstab_openssl.h"\n')
    done = subprocess.run(
        ["gcc", f"-I{CORE}", "-c", str(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "include either it or openssl/ssl.h" in done.stderr
