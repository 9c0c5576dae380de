"""Both engines do what the real libssl does, operation for operation.

host_tests/libssl/openssl_recorder.py has libssl do random operations and records results, callbacks,
counters, contents and frees; openssl_replayer.py has an engine do the same and compares.
"""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import openssl_cache as openssl
import openssl_recorder as recorder
import openssl_replayer as replayer
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sesstab_tools.virtual import find_micropython

ROOT = Path(__file__).resolve().parents[2]
REPLAYER = ROOT / "host_tests" / "libssl" / "openssl_replayer.py"
SEED = 20240229
SID = bytes(range(32))
NUMBER = st.integers(0, 65535)


engines = pytest.mark.parametrize("engine", ["pure", "native"])


@pytest.fixture(
    scope="session", params=[5_000, pytest.param(200_000, marks=pytest.mark.slow)], ids=["quick", "long"]
)
def trace(request, tmp_path_factory):
    """A file with what libssl did."""
    path = tmp_path_factory.mktemp("libssl") / "trace"
    with path.open("w") as file:
        done = recorder.record(request.param, SEED, lambda entry: print(json.dumps(entry), file=file))
    print(f"{openssl.VERSION}, seed {SEED}: {done.count} records, evictions {done.evictions}")
    assert done.evictions["alike"] > request.param // 100, "too few evictions are libssl's own choice"
    return path


@engines
def test_random_operations_do_what_libssl_does(engine, trace):
    with trace.open() as lines:
        assert replayer.replay(lines, replayer.table_class(engine)) > 0


def test_random_operations_do_what_libssl_does_under_sanitizers(trace):
    libasan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    environment = {
        "SESSTAB_SANITIZE": "1",
        "LD_PRELOAD": libasan,
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython's
        "PYTHONPATH": str(ROOT / "host_tests" / "ccore"),
    }
    replay_elsewhere(sys.executable, trace, "native", environment)


@engines
def test_random_operations_do_what_libssl_does_on_micropython(engine, trace, tmp_path):
    path = [str(ROOT / "lib")]
    if engine == "native":
        modules = sorted((ROOT / "dist" / "natmod").glob("x64_*/_sesstab.mpy"))
        assert modules, "dist/natmod/x64_*/_sesstab.mpy is missing: make natmod"
        path += [str(modules[-1].parent)]
    beginning = tmp_path / "trace"
    with trace.open() as lines, beginning.open("w") as out:
        out.writelines(islice(lines, 20_000))
    replay_elsewhere(find_micropython(), beginning, engine, {"MICROPYPATH": ":".join(path)})


def replay_elsewhere(program, path, engine, environment):
    run = subprocess.run(
        [program, str(REPLAYER), str(path), engine],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0 and "records alike" in run.stdout, run.stdout + run.stderr[-4000:]


@engines
@pytest.mark.parametrize("cipher", [openssl.PSK, openssl.CERTIFICATE], ids=["psk", "certificate"])
@pytest.mark.parametrize("side", [1, 2], ids=["client", "server"])
@pytest.mark.parametrize("mode", [0, 1, 2, 3, 0x201, 0x202, 0x203, 0x303, 0x83, 0x403])
@pytest.mark.parametrize("keeps", [0, 1])
def test_a_full_handshake_stores_and_tells_alike(engine, cipher, side, mode, keeps):
    log = []
    cache = openssl.Cache(cipher)
    cache.mode = mode
    cache.on_new = lambda session: log.append("new") or keeps
    cache.set_callbacks(True, False, True)
    openssl.Cache.freed.clear()
    session = cache.handshake(1, SID, side)
    cache.free(session)
    theirs = log[:], cache.number, openssl.Cache.freed == [1]
    if keeps and log:
        cache.free(session)
    cache.close()

    log.clear()
    table = replayer.table_class(engine)(4, 4, 48, 7200, mode)
    table.on_new = lambda table, h: log.append("new") or keeps
    h = table.new_session(SID, bytes(48))
    table.update_cache(h, side)
    table.free(h)
    assert (log, table.sess_number(), table.session_refs(h) == 0) == theirs


class AgainstLibssl(RuleBasedStateMachine):
    """The same operations, chosen by hypothesis, which shrinks what fails."""

    engine = ""

    @initialize(
        capacity=st.integers(1, 5),
        spare=st.integers(1, 3),
        alike=st.booleans(),
        callbacks=st.integers(0, 127),
    )
    def make_table(self, capacity, spare, alike, callbacks):
        self.alike = True
        self.recorder = recorder.Recorder(replayer.Replayer(replayer.table_class(self.engine)).step)
        self.recorder.table(capacity, spare, alike)
        self.recorder.do("callbacks", callbacks)

    @rule(op=st.sampled_from(sorted(recorder.WEIGHTS)), a=NUMBER, b=NUMBER, c=NUMBER)
    def operate(self, op, a, b, c):
        self.alike = False
        self.recorder.do(op, a, b, c)
        self.alike = True

    def teardown(self):
        if self.alike:
            self.recorder.end()


@engines
@pytest.mark.parametrize("examples", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_hypothesis_finds_no_difference(engine, examples):
    machine = type("AgainstLibssl_" + engine, (AgainstLibssl,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, derandomize=True, database=None
        ),
    )
