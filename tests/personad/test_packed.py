"""Columns of whole numbers: what is packed comes out again, in as few bytes as it needs."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.packed import packed, unpacked

NUMBERS = st.one_of(st.just(0), st.integers(0, 255), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(NUMBERS))
def test_what_is_packed_comes_out_again(column: list[int]) -> None:
    assert unpacked(len(column), packed(column)).tolist() == column


@pytest.mark.parametrize(
    ("greatest", "width"),
    [(0, 0), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32 - 1, 4), (2**32, 8)],
)
def test_a_number_takes_as_few_bytes_as_the_greatest_needs(greatest: int, width: int) -> None:
    assert len(packed([0, greatest, 0])) == 3 * width


def test_numbers_lie_with_the_lowest_byte_first() -> None:
    assert packed([1, 258]) == b"\x01\x00\x02\x01"


def test_what_has_more_than_63_bits_is_refused() -> None:
    with pytest.raises(struct.error):
        packed([2**63])


@pytest.mark.parametrize(("count", "data"), [(2, b"123"), (1, b"123"), (1, b"1" * 16)])
def test_bytes_that_are_no_such_column_are_refused(count: int, data: bytes) -> None:
    with pytest.raises(ValueError, match=f"not a column of {count} numbers"):
        unpacked(count, data)


def test_columns_of_several_widths_are_one_of_whole_numbers() -> None:
    parts = [unpacked(1, packed([each])) for each in (0, 7, 2**40, 2**20)]
    found = np.concatenate(parts, dtype=np.int64)
    assert found.tolist() == [0, 7, 2**40, 2**20]
