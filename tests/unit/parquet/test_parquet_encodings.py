"""The encodings that a cut page keeps: levels and indices, deltas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite.errors import DataError
from kyanite.parquet import delta, hybrid
from kyanite.parquet.thrift import write_varint


def hybrid_encoded(values, width, pieces):
    """The values as alternating packed and repeated runs, lengths chosen by `pieces`."""
    out = bytearray()
    position = 0
    turn = 0
    while position < len(values):
        length = pieces[turn % len(pieces)]
        turn += 1
        same = 1
        while position + same < len(values) and values[position + same] == values[position]:
            same += 1
        if same > length:
            write_varint(out, same << 1)
            out += values[position].to_bytes((width + 7) // 8, "little")
            position += same
        else:
            groups = max(1, min(length, -(-(len(values) - position) // 8)))
            chunk = values[position : position + groups * 8]
            packed = sum(value << (index * width) for index, value in enumerate(chunk))
            write_varint(out, groups << 1 | 1)
            out += packed.to_bytes(groups * width, "little")
            position += len(chunk)
    return bytes(out)


def hybrid_decoded(data, width, count):
    values = []
    for packed, length, begin, end in hybrid.runs(data, width, count):
        number = int.from_bytes(data[begin:end], "little")
        values += [number >> (i * width) & ((1 << width) - 1) if packed else number for i in range(length)]
    return values


@st.composite
def encoded_values(draw, widths):
    width = draw(widths)
    values = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            values += [draw(st.integers(0, (1 << width) - 1))] * draw(st.integers(1, 30))
        else:
            values += draw(st.lists(st.integers(0, (1 << width) - 1), max_size=30))
    values = values or [0]
    data = hybrid_encoded(values, width, draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    return width, values, data


@given(encoded_values(st.integers(0, 20)), st.data())
def test_a_cut_of_levels_or_indices_holds_exactly_those_values(case, data):
    width, values, encoded = case
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(first, len(values)))
    cut = hybrid.cut(encoded, width, len(values), first, last)
    assert hybrid_decoded(cut, width, last - first) == values[first:last]


@given(encoded_values(st.integers(1, 8)))
def test_levels_are_unpacked(case):
    width, values, encoded = case
    assert list(hybrid.levels(encoded, width, len(values))) == values


@given(encoded_values(st.integers(1, 8)))
def test_levels_that_end_early_are_refused(case):
    width, values, encoded = case
    with pytest.raises(DataError):
        hybrid.levels(encoded, width, len(values) + 8 * 64)


@pytest.mark.parametrize("bits", [32, 64])
@given(data=st.data())
def test_delta_numbers_cut_anywhere(bits, data):
    most = 2 ** (bits - 1)
    numbers = st.one_of(st.integers(-most, most - 1), st.integers(-5, 5))
    values = data.draw(st.lists(numbers, max_size=300))
    encoded = delta.encode_integers(values, bits)
    assert delta.decode_integers(encoded, bits) == (values, len(encoded))
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(first, len(values)))
    cut = delta.cut_integers(encoded, bits, first, last)
    assert delta.decode_integers(cut, bits)[0] == values[first:last]


@given(st.binary(max_size=40))
def test_garbage_deltas_give_numbers_or_a_data_error(data):
    try:
        values, _ = delta.decode_integers(data[:1] + b"\x04" + data[1:], 64)
    except DataError:
        return
    assert all(-(2**63) <= value < 2**63 for value in values)
