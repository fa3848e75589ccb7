"""The IDX format, in which MNIST was published: https://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.errors import SourceError

UINT8 = 0x08


def parse(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """Parse an IDX file of unsigned bytes.

    Args:
        content: the whole file: two zero bytes, the type, the number of dimensions, each dimension as a
            big-endian uint32, then the data.
        dimensions: how many dimensions it must have: 1 for labels, 3 for images.

    Returns:
        uint8, of the shape that the file states; a view of ``content``.

    Raises:
        SourceError: the header or the length is wrong.
    """
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise SourceError(f"an IDX header of {header} bytes was expected, the file has {len(content)} bytes")
    zeros, kind, count = struct.unpack(">HBB", content[:4])
    if (zeros, kind, count) != (0, UINT8, dimensions):
        expected = struct.pack(">HBB", 0, UINT8, dimensions).hex()
        raise SourceError(f"an IDX file must start with {expected}, was {content[:4].hex()}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise SourceError(f"{shape} takes {math.prod(shape)} bytes of data, the file has {len(content) - header}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
