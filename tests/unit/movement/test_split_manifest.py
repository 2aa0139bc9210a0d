"""The manifest of a split: read back as written, and nothing strange is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kyanite.movement.split_manifest import MANIFEST, WORK_FOLDER, Manifest, ManifestPart, decode
from kyanite.movement.split_model import options

PARTS = (
    ManifestPart("part-00000.parquet", 10, 1000, 0, "crc32:00000000"),
    ManifestPart("part-00001.parquet", 1, 9000, 10, None, oversize=True, input=1),
)
WHOLE = Manifest(
    options(max_size="4MB", prefix="p").document(),
    ({"path": "in.parquet", "bytes": 7, "modified": "2026-01-01T00:00:00+00:00", "etag": None},),
    PARTS,
    ("blake2b:ab",),
)


def test_it_is_read_as_it_was_written():
    staged = WHOLE._replace(folder=f"{WORK_FOLDER}/0a-1-2-ff", replaces=("old-1.parquet",))
    for manifest in (WHOLE, staged, WHOLE._replace(parts=())):
        assert decode(json.loads(manifest.encode())) == manifest
    assert WHOLE.rows == 11


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "else"},
        {"format": 2},
        {"folder": "/etc"},
        {"folder": "../out"},
        {"folder": f"{WORK_FOLDER}/.."},
        {"folder": WORK_FOLDER, "replaces": []},
        {"replaces": ["../../etc/passwd"]},
        {"replaces": ["a/b"]},
        {"replaces": [MANIFEST]},
        {"parts": [{"name": "x", "rows": -1, "bytes": 0, "firstRow": 0}]},
        {"parts": [{"name": "x", "rows": "1", "bytes": 0, "firstRow": 0}]},
        {"parts": [{"name": "..", "rows": 1, "bytes": 0, "firstRow": 0}]},
        {"parts": [{"rows": 1}]},
        {"parts": 5},
        {"inputs": [3]},
        {"target": None, "schemas": 4},
    ],
)
def test_what_is_none_is_refused(change):
    document = {**json.loads(WHOLE.encode()), **change}
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        decode(document)


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_answered_or_refused(document):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        decode(document)


@given(
    st.lists(st.builds(ManifestPart, st.text(min_size=1), *[st.integers(min_value=0)] * 3, st.none() | st.text())),
    st.sampled_from(["prefix", "with space", "ü"]),
)
def test_any_parts_survive(parts, prefix):
    parts = [part for part in parts if "/" not in part.name and part.name not in (".", "..")]
    manifest = WHOLE._replace(parts=tuple(parts), options=options(max_size=None, rows=1, prefix=prefix).document())
    assert decode(json.loads(manifest.encode())) == manifest
