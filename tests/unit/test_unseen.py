from hypothesis import given
from hypothesis import strategies as st

from pytest_layers.measure.unseen import MAX_STRETCHES, Accounting, Ended, Stretch, Unseen

SIZES = st.integers(0, 1000)
PIDS = st.integers(1, 3)
ENDED = st.builds(Ended, SIZES, SIZES, st.frozensets(PIDS), is_twin=st.booleans())
STRETCHES = st.lists(
    st.builds(
        Stretch,
        SIZES,
        st.lists(ENDED, max_size=4).map(tuple),
        SIZES,
    ),
    max_size=300,
)


def test_nothing_unseen_bounds_nothing():
    assert Unseen().bound(Accounting()) == 0


def test_a_process_grew_to_the_largest_that_is_told():
    assert Stretch(100, (Ended(30, 1000),), 0).bound(Accounting(largest=50)) == 120


def test_a_process_grew_by_no_more_than_time_allowed():
    assert Stretch(100, (Ended(30, 10),), 0).bound(Accounting(largest=50)) == 110


def test_a_parent_that_lives_on_has_told_of_faults_alone():
    orphan, own = Ended(30, 1000), Ended(30, 1000, frozenset({7}))
    assert Stretch(100, (own,), 0).bound(Accounting(50, parents={7: 300})) == 400
    assert Stretch(100, (own,), 0).bound(Accounting(50, parents={7: 2000})) == 1100
    assert Stretch(100, (own, orphan), 0).bound(Accounting(50, parents={8: 300})) == 140


def test_one_larger_than_all_that_is_told_of_did_not_grow():
    assert Stretch(100, (Ended(80, 10),), 0).bound(Accounting(largest=50)) == 100


def test_each_of_several_may_have_grown():
    assert Stretch(100, (Ended(30, 1000), Ended(40, 1000)), 0).bound(Accounting(largest=50)) == 130


def test_twins_touched_no_more_than_is_told():
    assert Stretch(100, (), 60).bound(Accounting(largest=0, touched=20)) == 120
    assert Stretch(100, (), 60).bound(Accounting(largest=0, touched=90)) == 160


def test_what_a_twin_touched_counts_once_unless_its_parent_has_not_told_of_that():
    twin = Ended(30, 60, frozenset({7}), is_twin=True)
    assert Stretch(100, (twin,), 60).bound(Accounting(largest=500, touched=20)) == 120
    assert Stretch(100, (twin,), 60).bound(Accounting(500, 0, parents={7: 1000})) == 160


@given(STRETCHES, SIZES, SIZES, SIZES, st.dictionaries(PIDS, SIZES))
def test_however_many_are_folded_the_bound_is_no_lower(stretches, upper, largest, touched, parents):
    unseen, told = Unseen(), Accounting(largest, touched, parents)
    for stretch in stretches:
        unseen.add(stretch, upper)
    exact = max((stretch.bound(told) for stretch in stretches), default=0)
    assert max(upper, unseen.bound(told)) >= exact
    assert len(unseen.stretches) <= MAX_STRETCHES
