"""Shows with the model checker CBMC that the table keeps its promises in every state, for small tables.

    python host_tests/prove/run.py                      all proofs
    python host_tests/prove/run.py free get_session     these
    python host_tests/prove/run.py --quick              of a smaller table

prove.c says what is shown, and of which tables; snapshot.c, of snapshots. A proof passes when CBMC shows
every claim in it, every check of the core's accesses to memory and of its conversions, and that loops end as
soon as is said here; and when it finds a way to every situation that the proof must cover (REACH). Exit
status 1 when one does not, or takes longer than it may.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "host_tests" / "prove"
CORE = ROOT / "firmware" / "core"
BUILD = ROOT / "build" / "prove"
PROGRAMS = ROOT / "build" / "cbmc" / "bin"
SETUP = "tools/setup/cbmc.sh"
SECONDS = 600  # of CPU time, for one proof
JOBS = 2

REACH = "reach: "  # prove.c's REACH says
CHECKS = [
    "--bounds-check", "--pointer-check", "--pointer-overflow-check", "--pointer-primitive-check",
    "--div-by-zero-check", "--signed-overflow-check", "--undefined-shift-check", "--unwinding-assertions",
    "--drop-unused-functions", "--slice-formula",
]  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Of a table: how many sessions it holds, and how many slots it has besides."""

    capacity: int
    spare: int

    def loops(self) -> str:
        """How often loops run at most whose end hangs on what is in the table. Others: 33 times."""
        slots = self.capacity + self.spare
        most = {"find.0": slots + 1, "bucket_delete.0": slots + 1, "make_room.0": slots + 1}
        return ",".join(f"{loop}:{times}" for loop, times in {**most, "copy.0": 2, "copy.1": 4}.items())


FULL, QUICK = Size(2, 1), Size(1, 1)


@dataclass(frozen=True)
class Program:
    """What CBMC reads: a source of this folder, and which functions of the core others stand in for there."""

    name: str
    source: str
    stand_ins: dict[str, str]

    def options(self, size: Size) -> list[str]:
        if self == WHOLE:  # sesstab_init keeps of a number what fits, and its loops are as long as the table
            return [*CHECKS, "--unwind", "100", "--max-field-sensitivity-array-size", "1000"]
        if self == SNAPSHOT:  # its numbers are cut into bytes
            return [*CHECKS, "--unwind", "27", "--unwindset", SNAPSHOT_LOOPS]
        return [*CHECKS, "--conversion-check", "--unwind", "34", "--unwindset", size.loops()]


PARTS = Program("parts", "prove.c", {"bucket_of": "any_bucket_of", "slot_at": "separate_slot_at"})
CALLS = ("sesstab_add_session", "sesstab_remove_session", "sesstab_flush_sessions")
NESTED = Program("nested", "prove.c", {**PARTS.stand_ins, **{call: f"any_{call}" for call in CALLS}})
WHOLE = Program("whole", "prove.c", {})
SNAPSHOT = Program("snapshot", "snapshot.c", {"crc_of": "any_crc_of"})
SNAPSHOT_LOOPS = "check.0:4,sesstab_load.0:4,sesstab_load.1:4,get.0:5,width_of.0:5"


@dataclass(frozen=True)
class Proof:
    """A function prove_NAME of that program's source."""

    name: str
    program: Program = PARTS


PROOFS = {
    proof.name: proof
    for proof in (
        Proof("init", WHOLE),
        Proof("init_layout", WHOLE),
        Proof("new_session"),
        Proof("up_ref"),
        Proof("free"),
        Proof("add_session"),
        Proof("add_session_with_callbacks"),
        Proof("eviction"),
        Proof("remove_session"),
        Proof("remove_session_with_callbacks"),
        Proof("get_session"),
        Proof("get_session_with_callbacks", NESTED),
        Proof("has_session"),
        Proof("flush_sessions"),
        Proof("flush_sessions_with_callbacks"),
        Proof("update_cache", NESTED),
        Proof("update_cache_with_callbacks", NESTED),
        Proof("reset"),
        Proof("first_calls"),
        Proof("clear"),
        Proof("set_times"),
        Proof("settings"),
        Proof("what_a_session_holds"),
        Proof("next"),
        Proof("during_on_remove"),
        Proof("load", SNAPSHOT),
    )
}


class Failure(Exception):
    """A proof that does not go through, or cannot be run."""


@dataclass(frozen=True)
class Report:
    properties: int
    reached: int
    seconds: float
    megabytes: int

    def __str__(self) -> str:
        return (
            f"{self.properties} properties hold, {self.reached} situations reached, "
            f"{self.seconds:.0f} s, {self.megabytes} MB"
        )


def tool(name: str) -> Path:
    if not (PROGRAMS / name).exists():
        raise Failure(f"there is no {name}: {SETUP}")
    return PROGRAMS / name


def run(*command: object, seconds: int = SECONDS) -> tuple[int, str, float, int]:
    """Its exit status, what it says, the seconds of CPU time it took, and the most memory, in MB."""

    with tempfile.TemporaryFile("w+", errors="replace") as said:
        words = [str(word) for word in command]
        child = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)
        resource.prlimit(child.pid, resource.RLIMIT_CPU, (seconds, seconds))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return child.returncode, said.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def compile_proofs(program: Program, size: Size, folder: Path = BUILD, core: Path = CORE) -> Path:
    """The program with this core, as CBMC reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{program.name}-{size.capacity}-{size.spare}"
    sizes = [f"-DCAPACITY={size.capacity}", f"-DSPARE={size.spare}"]
    commands = [[tool("goto-cc"), "-std=gnu99", *sizes, f"-I{core}", "-o", out, HERE / program.source]]
    if program.stand_ins:
        replaced = [f"{name}:{other}" for name, other in program.stand_ins.items()]
        options = [word for pair in replaced for word in ("--replace-calls", pair)]
        commands.append([tool("goto-instrument"), *options, out, out])
    for command in commands:
        status, said, _, _ = run(*command)
        if status != 0:
            raise Failure(f"{Path(str(command[0])).name} does not take the core:\n{said[-2000:]}")
    return out


def prove(proof: Proof, size: Size, compiled: Path, seconds: int = SECONDS) -> Report:
    options = proof.program.options(size)
    command = [tool("cbmc"), compiled, "--function", f"prove_{proof.name}", *options]
    status, said, taken, megabytes = run(*command, seconds=seconds)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise Failure(f"not done after {taken:.0f} s of CPU time, {megabytes} MB")
    results = re.findall(r"^\[\S+\] (.*): (SUCCESS|FAILURE|UNKNOWN|ERROR)$", said, re.M)
    if status not in (0, 10) or not results:
        raise Failure(f"CBMC ended with {status}:\n{said[-2000:]}")
    situations = [result for result in results if REACH in result[0]]
    claims = [result for result in results if REACH not in result[0]]
    wrong = [f"    does not hold: {claim}" for claim, result in claims if result != "SUCCESS"]
    wrong += [f"    never happens: {situation}" for situation, result in situations if result != "FAILURE"]
    if wrong:
        again = " ".join(str(word) for word in [*command, "--trace"])
        raise Failure("\n".join([*dict.fromkeys(wrong), f"    how: {again}"]))
    return Report(len(claims), len(situations), taken, megabytes)


# ---- The command ----


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=", ".join(PROOFS))
    parser.add_argument("--quick", action="store_true", help="of a smaller table")
    chosen = parser.parse_args()
    unknown = set(chosen.proofs) - set(PROOFS)
    if unknown:
        parser.error(f"unknown proof {min(unknown)}: {', '.join(PROOFS)}")
    chosen.proofs = chosen.proofs or list(PROOFS)
    chosen.size = QUICK if chosen.quick else FULL
    return chosen


def main() -> int:
    chosen = arguments()
    subprocess.run([ROOT / SETUP], check=True)
    proofs = [PROOFS[name] for name in chosen.proofs]
    try:
        used = {proof.program.name: proof.program for proof in proofs}
        compiled = {name: compile_proofs(program, chosen.size) for name, program in used.items()}
    except Failure as failure:
        sys.exit(str(failure))

    def work(proof: Proof) -> bool:
        try:
            said = str(prove(proof, chosen.size, compiled[proof.program.name]))
        except Failure as failure:
            print(f"{proof.name}: FAILED\n{failure}", flush=True)
            return False
        print(f"{proof.name}: {said}", flush=True)
        return True

    with ThreadPoolExecutor(JOBS) as pool:
        return 0 if all(list(pool.map(work, proofs))) else 1


if __name__ == "__main__":
    sys.exit(main())
