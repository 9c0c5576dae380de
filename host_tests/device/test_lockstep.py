# Both engines do what the model does, call for call: random operations on three tables, all results compared.
# It says something of the native engine where that is selected; the pure one is there in any case.

import sesstab
import sesstab.pure
from lockstep import Lockstep
from table_model import TableModel


def run(seed, count, sizes):
    return Lockstep(seed, sizes, (TableModel, sesstab.pure.SessionTable, sesstab.SessionTable)).run(count)


def test_lockstep_of_a_small_table():
    for seed in (1, 2, 3):
        assert run(seed, 500, (3, 4, 20))[1] > 2


def test_lockstep_of_a_table_of_one():
    run(4, 500, (1, 0, 20))
    assert run(5, 500, (1, 3, 20))[1] > 2


def test_lockstep_of_a_larger_table():
    assert run(6, 1000, (9, 7, 31))[1] > 2


def test_lockstep_of_a_wide_table():
    assert run(7, 500, (250, 16, 20))[1] > 2
