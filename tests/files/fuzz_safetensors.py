# SPDX-License-Identifier: BSD-3-Clause
"""A fuzz target for the reader of model files (`make fuzz`), and the mutations that tests take.

Whatever the bytes are, the reader returns arrays or raises ValueError. What it returns can be
written and read again.
"""

import random
import sys

from mlpcore import _safetensors, files


def examine(data: bytes) -> bool:
    """Whether the bytes are a net; anything but a net or a ValueError is a failure."""
    try:
        metadata, arrays = _safetensors.from_bytes(bytearray(data), "file")
    except ValueError:
        return False
    assert sum(array.size for array in arrays.values()) <= len(data)
    try:
        net = files.unpack(metadata, arrays, "file")
    except ValueError:
        return False
    again_metadata, again = files.pack(net)
    assert {key: array.tobytes() for key, array in again.items()} == {
        key: array.tobytes() for key, array in arrays.items()
    }
    # Only the second time is the spelling our own: a fuzzer finds "[3, 4,2 ]" with its checksum.
    assert files.pack(files.unpack(again_metadata, again, "file"))[0] == again_metadata
    return True


# What turns up in headers and turns one into another.
WORDS = [
    *(bytes([byte]) for byte in b'[]{},:"\\0-.e \n\x00\xff'),
    *(b"0", b"-1", b"1", b"2", b"4", b"8", b"9223372036854775807", b"18446744073709551616"),
    *(b"null", b"true", b"NaN", b"1e9", b"F32", b"F64", b"BF16", b"BOOL", b'"a":', b"[[["),
    *(b"dtype", b"shape", b"data_offsets", b"__metadata__", b"\\ud800", b"softmax", b"\xf0\x9f"),
]


def mutated(content: bytes, generator: random.Random) -> bytes:
    """The bytes of a file with up to four changes; usually the header's length follows."""
    data = bytearray(content)
    header_end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(8, len(data) + 1 if generator.random() < 0.1 else header_end)
        length = generator.choice([0, 0, 1, 1, 2, 8, 40])
        change = generator.randrange(4)
        if change == 0:
            data[at : at + length] = generator.choice(WORDS)
        elif change == 1:
            data[at : at + 1] = bytes([generator.randrange(256)])
        elif change == 2:
            data[at : at + length] = data[at : at + length] * 2
        else:
            del data[at : at + length]
        header_end = max(9, min(header_end, len(data)))
    if generator.random() < 0.9:
        length = len(data) - len(content) + int.from_bytes(content[:8], "little")
        data[:8] = max(0, length).to_bytes(8, "little")
    return bytes(data)


if __name__ == "__main__":
    import atheris

    for module in (_safetensors, files):
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", "") == module.__name__ and callable(value):
                setattr(module, name, atheris.instrument_func(value))
    atheris.Setup(sys.argv, examine)
    atheris.Fuzz()
