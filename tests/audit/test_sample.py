"""What is drawn depends on the seed and on names alone: not on order, nor on what else is there."""

from hypothesis import given
from hypothesis import strategies as st

from heatproof.audit.sample import draw

ids = st.lists(st.integers(0, 500), unique=True, max_size=60)


def rows(numbers, size=1):
    return [
        {"id": f"i{n}", "cluster": None if size == 1 else f"c{n // size}", "map_row": i} for i, n in enumerate(numbers)
    ]


def names(found):
    return {row["id"] for row in found}


@given(ids, st.integers(1, 20), st.randoms(use_true_random=False))
def test_order_does_not_matter(numbers, count, random):
    shuffled = list(numbers)
    random.shuffle(shuffled)
    for size in (1, 3):
        first, second = draw(rows(numbers, size), count, 0, "q"), draw(rows(shuffled, size), count, 0, "q")
        assert names(first) == names(second)
        assert [row["map_row"] for row in first] == sorted(row["map_row"] for row in first)


@given(ids, st.integers(1, 20))
def test_as_many_as_asked_and_one_of_each_cluster(numbers, count):
    found = draw(rows(numbers, 3), count, 0, "q")
    clusters = [row["cluster"] for row in found]
    assert len(set(clusters)) == len(clusters) == min(count, len({n // 3 for n in numbers}))
    assert len(draw(rows(numbers, 3), count, 0, "q", one_per_cluster=False)) == min(count, len(numbers))


@given(ids, st.integers(1, 20))
def test_more_data_only_adds(numbers, count):
    """A row that is drawn from more rows is drawn from fewer, too."""
    few = draw(rows(numbers), count, 0, "q")
    many = draw(rows([*numbers, *range(1000, 1030)]), count, 0, "q")
    assert names(many) & {f"i{n}" for n in numbers} <= names(few)


def test_seed_and_question_draw_differently_and_all_alike():
    everything = rows(range(300))
    assert names(draw(everything, 20, 0, "a")) != names(draw(everything, 20, 1, "a"))
    assert names(draw(everything, 20, 0, "a")) != names(draw(everything, 20, 0, "b"))
    hits = [0] * 300
    for seed in range(400):
        for row in draw(everything, 30, seed, "a"):
            hits[row["map_row"]] += 1
    assert min(hits) > 15
    assert max(hits) < 75  # 40 expected, standard deviation 6


def test_only_what_is_usable():
    found = draw(rows(range(50)), 10, 0, "q", usable=lambda row: int(row["id"][1:]) % 5 == 0)
    assert names(found) == {f"i{n}" for n in range(0, 50, 5)}
