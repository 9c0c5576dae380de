"""Fuzzes what reads bytes from outside, and the core against a model of it.

    python host_tests/fuzz/run.py --seconds 60              all targets, the time divided among them
    python host_tests/fuzz/run.py --seconds 60 core repl    these
    python host_tests/fuzz/run.py --replay                  the corpus only, with the system's compiler
    python host_tests/fuzz/run.py --coverage                the same, and what of each C file it reaches
    python host_tests/fuzz/run.py --minimise core           what was learned, into the corpus: what it takes

Targets in C are compiled with ASan and UBSan, for libFuzzer, and as NAME-afl for AFL++; those in Python run
under atheris. Exit status 1 when there is a finding: what it says then reproduces it. Builds, findings and
what the fuzzers learn go to build/fuzz/, the corpus kept is in corpus/.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "host_tests" / "fuzz"
CORPUS = HERE / "corpus"
BUILD = ROOT / "build" / "fuzz"
MBEDTLS = ROOT / "build" / "mbedtls" / "3.6"
MAIN = HERE / "atheris_main.py"
MAX_LEN = 1024
INPUT_SECONDS = 20  # one input that takes longer is a finding

FLAGS = [
    "-std=gnu99",
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fno-sanitize-recover=all",
    "-Wall",
    "-Wextra",
]
SANITIZERS = "address,undefined"
# A build is a compiler, its flags and a main of ours, where the compiler brings none.
BUILDS = {
    "replay": (shlex.split(os.environ.get("CC", "gcc")), [f"-fsanitize={SANITIZERS}"], ["replay.c"]),
    "libfuzzer": (["clang"], [f"-fsanitize=fuzzer,{SANITIZERS}"], []),
    "afl": (["afl-clang-fast"], ["-fsanitize=fuzzer"], []),
    "coverage": (["gcc"], ["--coverage", "-O0", "-Dalways_inline=noinline"], ["replay.c"]),
}
AFL = {
    "AFL_USE_ASAN": "1", "AFL_USE_UBSAN": "1", "AFL_QUIET": "1", "AFL_NO_UI": "1", "AFL_NO_AFFINITY": "1",
    "AFL_SKIP_CPUFREQ": "1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
}  # fmt: skip
# Configs that live as long as the program are no leaks, and AFL++'s fork server cannot look for them.
OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:symbolize=1:detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
AFL_OPTIONS = {"ASAN_OPTIONS": "abort_on_error=1:symbolize=0:detect_leaks=0"}


@dataclass
class Target:
    """What is fuzzed. `harness` is in this folder, `firmware` below firmware/; one in Python has neither."""

    name: str
    harness: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    tls: bool = False

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    @property
    def learned(self) -> Path:
        return BUILD / "learned" / self.name


CORE = "core/sesstab.c"
TARGETS = {
    target.name: target
    for target in (
        Target("core", ("core.c", "model.c"), (CORE,)),
        Target("snapshot", ("snapshot.c",), (CORE, "core/sesstab_snapshot.c")),
        Target("tls", ("tls.c",), (CORE, "tls/sesstab_mbedtls.c"), tls=True),
        Target("snapshot_both"),
        Target("repl"),
    )
}


class Finding(Exception):
    """An input that must not do what it does."""


def run(command: list[object], **options: object) -> subprocess.CompletedProcess[str]:
    options = {"text": True, "errors": "replace", "capture_output": True, **options}
    return subprocess.run([str(word) for word in command], check=False, **options)  # type: ignore[call-overload]


def compile_target(
    target: Target, kind: str, firmware: Path = ROOT / "firmware", out: Path | None = None
) -> Path:
    """The harness with this firmware, as a program; for "coverage" its notes lie beside it."""
    if target.tls:
        subprocess.run([ROOT / "tools" / "setup" / "mbedtls_host.sh", "3.6"], check=True)
    compiler, flags, mains = BUILDS[kind]
    out = out or BUILD / "bin" / f"{target.name}-{kind}"
    out.parent.mkdir(parents=True, exist_ok=True)
    command: list[object] = [*compiler, *FLAGS, *flags, f"-I{firmware}/core"]
    command += [HERE / name for name in (*target.harness, *mains)]
    command += [firmware / name for name in target.firmware]
    if target.tls:
        # The library is compiled with these already. Without them here, it still needs their runtime.
        command += [f"-I{firmware}/tls", "-isystem", MBEDTLS / "include", MBEDTLS / "lib" / "libmbedtls.a"]
        command += [f"-fsanitize={SANITIZERS}"] if kind == "coverage" else []
    environment = {**os.environ, **(AFL if kind == "afl" else {})}
    done = run([*command, "-o", out], cwd=out.parent, env=environment)
    if done.returncode != 0:
        sys.exit(f"{target.name} does not compile for {kind}:\n{done.stderr}")
    return out


def replayer(target: Target) -> list[object]:
    """The command that runs files, which are to follow."""
    if target.harness:
        return [compile_target(target, "replay")]
    return [sys.executable, MAIN, target.name, "--replay"]


def how_to_reproduce(target: Target, path: Path) -> str:
    command = BUILD / "bin" / f"{target.name}-replay" if target.harness else f"{MAIN} {target.name} --replay"
    return f"{command} {path}"


def replay(target: Target, command: list[object] | None = None) -> str:
    """Runs the corpus. What it reports."""
    command = command or replayer(target)
    try:
        done = run([*command, target.corpus], env={**os.environ, **OPTIONS}, timeout=600)
    except subprocess.TimeoutExpired as error:
        raise Finding(f"{target.name}: the corpus takes more than 10 minutes: an endless loop") from error
    if done.returncode != 0:
        inputs = re.findall(r"^input (.*)$", done.stderr, re.M)
        path = Path(inputs[-1]) if inputs else target.corpus
        why = "\n".join(done.stderr.splitlines()[-12:])
        raise Finding(f"{why}\n{target.name}: {path}\nagain: {how_to_reproduce(target, path)}")
    return done.stdout.strip().splitlines()[-1]


# ---- Fuzzing ----


def fuzz(target: Target, seconds: int, program: Path | None = None, findings: Path | None = None) -> str:
    """libFuzzer, which atheris is, too."""
    findings = findings or BUILD / "findings" / target.name
    for folder in (target.learned, target.corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    command: list[object] = [sys.executable, MAIN, target.name]
    if target.harness:
        command = [program or compile_target(target, "libfuzzer")]
    command += [f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", f"-timeout={INPUT_SECONDS}"]
    command += [f"-artifact_prefix={findings}/", "-print_final_stats=1", target.learned, target.corpus]
    done = run(command, env={**os.environ, **OPTIONS}, timeout=seconds + 300)
    log = done.stderr + done.stdout
    if done.returncode != 0:
        if target.harness and program is None:
            compile_target(target, "replay")  # which reproduces it
        raise Finding(explain(target, log))
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", log)
    executions = int((re.findall(r"Done (\d+) runs", log) or ["0"])[-1])
    edges, features, inputs = progress[-1] if progress else (0, 0, 0)
    if executions == 0:
        raise Finding(f"{target.name}: the fuzzer ran nothing:\n{log[-2000:]}")
    each = f"{executions // max(1, seconds)}/s"
    return f"{executions} executions, {each}, coverage {edges}, features {features}, {inputs} inputs"


def explain(target: Target, log: str) -> str:
    """What libFuzzer has found, from its log."""
    written = re.findall(r"Test unit written to (\S+)", log)
    lines = [line for line in log.splitlines() if not re.match(r"#\d+\s|\s+#\d+ 0x.*\bfuzzer::", line)]
    why = "\n".join(line for line in lines if len(line) < 300)[-3000:]
    if not written:
        return f"{why}\n{target.name}: the fuzzer ended with an error"
    return f"{why}\n{target.name}: {written[-1]}\nagain: {how_to_reproduce(target, Path(written[-1]))}"


def fuzz_with_afl(target: Target, seconds: int) -> str:
    program = compile_target(target, "afl")
    out = BUILD / "afl" / target.name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command: list[object] = ["afl-fuzz", "-i", target.corpus, "-o", out, "-V", seconds, "-G", MAX_LEN]
    command += ["-t", f"{INPUT_SECONDS * 1000}", "-m", "none", "--", program]
    done = run(command, env={**os.environ, **AFL, **AFL_OPTIONS}, timeout=seconds + 600)
    stats = out / "default" / "fuzzer_stats"
    if not stats.exists():
        raise Finding(f"{target.name}: AFL++ did not start:\n{(done.stdout + done.stderr)[-2000:]}")
    values = dict(re.findall(r"^(\w+)\s*: (.*)$", stats.read_text(), re.M))
    found = [*(out / "default" / "crashes").glob("id*"), *(out / "default" / "hangs").glob("id*")]
    if found:
        compile_target(target, "replay")
        raise Finding("\n".join(f"again: {how_to_reproduce(target, path)}" for path in found))
    edges = f"coverage {values['edges_found']} of {values['total_edges']} edges"
    return f"{values['execs_done']} executions, {float(values['execs_per_sec']):.0f}/s, {edges}, " + (
        f"{values['corpus_count']} inputs"
    )


# ---- The corpus ----


def minimise(target: Target) -> str:
    """Keeps, of the corpus and what was learned, inputs enough for every branch that all of it takes."""
    target.corpus.mkdir(parents=True, exist_ok=True)
    target.learned.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        command: list[object] = [sys.executable, MAIN, target.name, "--merge"]
        if target.harness:
            command = [
                compile_target(target, "libfuzzer"),
                "-merge=1",
                "-use_counters=0",
                f"-max_len={MAX_LEN}",
            ]
        afl = BUILD / "afl" / target.name / "default" / "queue"
        command += [scratch, target.corpus, target.learned, *([afl] if afl.exists() else [])]
        done = run(command, env={**os.environ, **OPTIONS})
        if done.returncode != 0:
            raise Finding(explain(target, done.stderr))
        kept = list(Path(scratch).iterdir())
        for old in target.corpus.iterdir():
            if not old.name.startswith("kept-"):
                old.unlink()
        for file in kept:
            shutil.copy(file, target.corpus / file.name[:12])
    files = list(target.corpus.iterdir())
    return f"{len(files)} inputs, {sum(file.stat().st_size for file in files)} bytes"


def coverage(target: Target) -> str:
    """Lines and branches of each firmware file that the corpus reaches."""
    with tempfile.TemporaryDirectory() as scratch:
        program = compile_target(target, "coverage", out=Path(scratch) / target.name)
        replay(target, [program])
        report = []
        for name in target.firmware:
            file = Path(name).stem
            command: list[object] = ["gcov", "-b", "-o", scratch, f"{target.name}-{file}.gcda"]
            text = run(command, cwd=scratch).stdout
            part = re.search(rf"File '[^']*/{file}\.c'\n(.*?)(?:\n\n|\Z)", text, re.S)
            numbers = dict(
                re.findall(r"^(Lines executed|Taken at least once):(.*)$", part[1] if part else "", re.M)
            )
            lines, branches = (
                numbers.get("Lines executed", "none"),
                numbers.get("Taken at least once", "none"),
            )
            report.append(f"    {name}: lines {lines}, branches taken {branches}")
    return "\n" + "\n".join(report)


# ---- The command ----


def why_not(target: Target, engine: str) -> str:
    """Why this cannot be fuzzed here, or nothing."""
    program = "" if not target.harness else "afl-fuzz" if engine == "afl" else "clang"
    if program and not shutil.which(program):
        return f"there is no {program}: tools/setup/fuzz_tools.sh"
    if not target.harness and importlib.util.find_spec("atheris") is None:
        return "there is no atheris for this Python: x86-64 Linux has it, pip install atheris"
    return ""


def arguments() -> argparse.Namespace:
    names = [*TARGETS, *(f"{name}-afl" for name, target in TARGETS.items() if target.harness)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names) + "; all")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (60)")
    parser.add_argument("--replay", action="store_true", help="run the corpus only")
    parser.add_argument(
        "--coverage", action="store_true", help="run the corpus and show what it reaches in C"
    )
    parser.add_argument("--minimise", action="store_true", help="put what was learned into the corpus")
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(names)
    if unknown:
        parser.error(f"unknown target {min(unknown)}: {', '.join(names)}")
    chosen.fuzzes = not (chosen.replay or chosen.coverage or chosen.minimise)
    chosen.targets = chosen.targets or (names if chosen.fuzzes else list(TARGETS))
    return chosen


def work(chosen: argparse.Namespace, name: str, seconds: int) -> str:
    target, engine = TARGETS[name.removesuffix("-afl")], "afl" if name.endswith("-afl") else "libfuzzer"
    if chosen.replay:
        return replay(target)
    if chosen.coverage:
        return coverage(target) if target.harness else "in Python: coverage.py and atheris_main.py --replay"
    reason = why_not(target, engine)
    if reason:
        return f"NOT RUN, {reason}"
    if chosen.minimise:
        return minimise(target)
    return fuzz_with_afl(target, seconds) if engine == "afl" else fuzz(target, seconds)


def main() -> int:
    chosen = arguments()
    if chosen.fuzzes:
        afl = ["afl"] if any(name.endswith("-afl") for name in chosen.targets) else []
        subprocess.run([ROOT / "tools" / "setup" / "fuzz_tools.sh", *afl], check=False)
    status = 0
    for name in chosen.targets:
        try:
            print(f"{name}: {work(chosen, name, max(1, chosen.seconds // len(chosen.targets)))}", flush=True)
        except Finding as finding:
            print(f"{name}: FINDING\n{finding}", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
