"""Factories of any documents survive loading, saving and snapshots, whatever else is in them."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kyanite.definitions.load import from_snapshot, load_documents, load_folder, to_snapshot
from kyanite.definitions.save import folder_files

names = st.text("abcXYZ _-é", min_size=1, max_size=8).map(lambda text: "n" + text)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
documents = st.fixed_dictionaries(
    {"properties": st.dictionaries(names, json_values, max_size=4)}, optional={"etag": names, "nFuture": json_values}
)
kinds = st.sampled_from(["pipeline", "dataset", "linkedService", "trigger", "dataflow", "credential"])


@given(st.dictionaries(st.tuples(kinds, names.map(str.lower)), documents, max_size=5), json_values)
def test_load_save_and_snapshot_keep_every_unknown_property(resources: Any, extra: Any) -> None:
    given_documents = [(kind, {"name": name, **copy.deepcopy(raw)}) for (kind, name), raw in resources.items()]
    given_documents.append(("factory", {"name": "f", "properties": {"globalParameters": {}}, "nExtra": extra}))
    factory = load_documents("f", copy.deepcopy(given_documents))
    files = folder_files(factory)
    loaded = load_folder({path: json.dumps(document) for path, document in files.items()})
    assert loaded.problems == ()
    assert loaded == factory
    assert {r.name: r.document for r in loaded.resources if r.kind == "pipeline"} == {
        document["name"]: document for kind, document in given_documents if kind == "pipeline"
    }
    assert loaded.document == given_documents[-1][1]
    assert folder_files(loaded) == files
    snapshot = json.loads(json.dumps(to_snapshot(loaded)))
    again = from_snapshot(snapshot)
    assert again == loaded
    assert folder_files(again) == files
