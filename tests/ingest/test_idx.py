from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_pipeline.ingest.idx import SourceError, parse

LABELS = b"\x00\x00\x08\x01" + struct.pack(">I", 3) + b"\x07\x00\x09"
IMAGES = b"\x00\x00\x08\x03" + struct.pack(">III", 2, 2, 3) + bytes(range(244, 256))


def test_labels() -> None:
    labels = parse(LABELS, dimensions=1)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [7, 0, 9]


def test_images_row_by_row() -> None:
    images = parse(IMAGES, dimensions=3)
    assert images.dtype == np.uint8
    assert images.tolist() == [[[244, 245, 246], [247, 248, 249]], [[250, 251, 252], [253, 254, 255]]]


def test_no_rows() -> None:
    assert parse(b"\x00\x00\x08\x01" + bytes(4), dimensions=1).shape == (0,)


@pytest.mark.parametrize(
    ("content", "dimensions", "message"),
    [
        (b"", 1, "header of 8 bytes was expected, the file has 0 bytes"),
        (LABELS[:7], 1, "header of 8 bytes was expected, the file has 7 bytes"),
        (IMAGES[:15], 3, "header of 16 bytes was expected, the file has 15 bytes"),
        (b"<!DOCTYPE html><html>", 3, "starts with 00000803, this one with 3c21444f"),
        (b"\x1f\x8b\x08\x00" + LABELS, 1, "starts with 00000801, this one with 1f8b0800"),
        (LABELS.replace(b"\x08\x01", b"\x0d\x01"), 1, "starts with 00000801, this one with 00000d01"),
        (b"\x01" + LABELS[1:], 1, "this one with 01000801"),
        (LABELS + bytes(9), 3, "starts with 00000803, this one with 00000801"),
        (IMAGES, 1, "starts with 00000801, this one with 00000803"),
        (LABELS[:-1], 1, "takes 3 bytes of data, the file has 2"),
        (LABELS + b"\x01", 1, "takes 3 bytes of data, the file has 4"),
        (IMAGES[:-1], 3, "(2, 2, 3) takes 12 bytes of data, the file has 11"),
        (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], 3, "bytes of data, the file has 12"),
    ],
)
def test_refused(content: bytes, dimensions: int, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(content, dimensions)
    assert message in str(caught.value)


@given(st.binary(max_size=40), st.sampled_from([1, 3]), st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, dimensions: int, magic: bool) -> None:
    content = (bytes([0, 0, 8, dimensions]) if magic else b"") + content
    try:
        values = parse(content, dimensions)
    except SourceError:
        return
    assert values.ndim == dimensions
    assert content.endswith(values.tobytes())
