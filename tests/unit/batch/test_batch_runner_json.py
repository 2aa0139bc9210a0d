from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.task_runner import json_text, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_the_runner_reads_and_writes_json(value):
    assert json.loads(json_text(value)) == value
    assert read_json(json.dumps(value)) == value
