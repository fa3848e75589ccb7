"""IDX files are read to their arrays, and any other bytes are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest.idx import parse

LABELS = b"\x00\x00\x08\x01" + struct.pack(">I", 3) + b"\x07\x00\x09"
IMAGES = b"\x00\x00\x08\x03" + struct.pack(">III", 2, 2, 3) + bytes(range(244, 256))


def test_labels_and_images_are_read() -> None:
    labels, images = parse(LABELS, dimensions=1), parse(IMAGES, dimensions=3)
    assert labels.dtype == images.dtype == np.uint8
    assert labels.tolist() == [7, 0, 9]
    assert images.tolist() == [[[244, 245, 246], [247, 248, 249]], [[250, 251, 252], [253, 254, 255]]]
    assert parse(LABELS[:4] + bytes(4), dimensions=1).shape == (0,)


@pytest.mark.parametrize(
    ("content", "dimensions", "message"),
    [
        (LABELS[:7], 1, "header of 8 bytes was expected, the file has 7 bytes"),
        (b"<!DOCTYPE html><html>", 3, "must start with 00000803, was 3c21444f"),
        (LABELS.replace(b"\x08\x01", b"\x0d\x01"), 1, "must start with 00000801, was 00000d01"),
        (b"\x01" + LABELS[1:], 1, "was 01000801"),
        (LABELS + bytes(9), 3, "must start with 00000803, was 00000801"),
        (LABELS[:-1], 1, "takes 3 bytes of data, the file has 2"),
        (LABELS + b"\x01", 1, "takes 3 bytes of data, the file has 4"),
        (IMAGES[:-1], 3, "(2, 2, 3) takes 12 bytes of data, the file has 11"),
        (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], 3, "bytes of data, the file has 12"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, dimensions: int, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(content, dimensions)
    assert message in str(caught.value)
