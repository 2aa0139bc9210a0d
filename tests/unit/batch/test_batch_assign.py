from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.assign import Assignment, FreeNode, Waiting, assign


def pairs(assignments):
    return [(item.key, item.node_id) for item in assignments]


def waiting(key, slots=1, priority=0, job="j"):
    return Waiting(key, job, priority, key, slots)


def test_first_come_first_served_within_a_priority():
    placed = assign([waiting(3), waiting(1), waiting(2)], [FreeNode("a", 2, 2)])
    assert pairs(placed) == [(1, "a"), (2, "a")]


def test_higher_priority_goes_first():
    placed = assign([waiting(1), waiting(2, priority=10)], [FreeNode("a", 1, 1)])
    assert pairs(placed) == [(2, "a")]


def test_spread_takes_the_emptiest_node_and_pack_the_fullest():
    nodes = [FreeNode("a", 1, 4), FreeNode("b", 4, 4)]
    tasks = [waiting(1), waiting(2)]
    assert pairs(assign(tasks, nodes)) == [(1, "b"), (2, "b")]
    assert pairs(assign(tasks, nodes, pack=True)) == [(1, "a"), (2, "b")]


def test_required_slots_must_fit_on_one_node():
    nodes = [FreeNode("a", 1, 2), FreeNode("b", 1, 2)]
    assert assign([waiting(1, slots=2)], nodes) == ()


def test_a_wide_task_is_passed_only_on_other_nodes():
    nodes = [FreeNode("a", 1, 2), FreeNode("b", 1, 2)]
    placed = assign([waiting(1, slots=2), waiting(2), waiting(3)], nodes)
    assert pairs(placed) == [(2, "b")]


def test_a_task_that_no_node_could_ever_hold_stops_nobody():
    assert pairs(assign([waiting(1, slots=9), waiting(2)], [FreeNode("a", 1, 2)])) == [(2, "a")]


def test_parallel_tasks_of_a_job_are_capped():
    tasks = [waiting(1), waiting(2), waiting(3, job="other")]
    placed = assign(tasks, [FreeNode("a", 3, 4)], running={"j": 1}, allowed={"j": 2})
    assert pairs(placed) == [(1, "a"), (3, "a")]


def naive(tasks, nodes, pack, running, allowed):
    """The rules once more, one decision at a time on plain lists."""
    state = [[node.id, node.free, node.total] for node in nodes]
    counts = dict(running)
    result = []
    queue = sorted(tasks, key=lambda t: t.sequence)
    queue = sorted(queue, key=lambda t: t.priority, reverse=True)
    for task in queue:
        if task.job in allowed and counts.get(task.job, 0) >= allowed[task.job]:
            continue
        best = None
        for entry in state:
            if entry[1] >= task.slots:
                better = best is None or (entry[1] < best[1] if pack else entry[1] > best[1])
                best = entry if better else best
        if best is not None:
            best[1] -= task.slots
            counts[task.job] = counts.get(task.job, 0) + 1
            result.append(Assignment(task.key, best[0]))
            continue
        reserved = None
        for entry in state:
            if entry[2] >= task.slots and (reserved is None or entry[1] > reserved[1]):
                reserved = entry
        if reserved is not None:
            state.remove(reserved)
    return tuple(result)


TASKS = st.lists(st.tuples(st.integers(1, 4), st.integers(-2, 2), st.sampled_from(["j", "k", "l"])), max_size=15).map(
    lambda items: [Waiting(n, job, priority, n, slots) for n, (slots, priority, job) in enumerate(items)]
)
NODES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=5).map(
    lambda items: [FreeNode(f"n{n}", free, max(1, free + used)) for n, (free, used) in enumerate(items)]
)


@given(TASKS, NODES, st.booleans(), st.dictionaries(st.sampled_from(["j", "k"]), st.integers(0, 3)))
def test_agrees_with_the_naive_model(tasks, nodes, pack, allowed):
    running = {"j": 1}
    placed = assign(tasks, nodes, pack=pack, running=running, allowed=allowed)
    assert placed == naive(tasks, nodes, pack, running, allowed)


@given(TASKS, NODES, st.booleans())
def test_never_more_than_is_free_and_no_task_twice(tasks, nodes, pack):
    placed = assign(tasks, nodes, pack=pack)
    slots = {task.key: task.slots for task in tasks}
    assert len({item.key for item in placed}) == len(placed)
    for node in nodes:
        assert sum(slots[item.key] for item in placed if item.node_id == node.id) <= node.free
