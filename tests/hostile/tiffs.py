"""TIFF files that lie: heads written by hand, which no library would write."""

import struct
import zlib

_TYPES = {"short": (3, "H"), "long": (4, "I"), "double": (12, "d")}

UTM_KEYS = ("short", [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632])
PLACED = {
    33550: ("double", [10.0, 10.0, 0.0]),
    33922: ("double", [0, 0, 0, 500_000.0, 5_400_000.0, 0]),
    34735: UTM_KEYS,
}


def write_tiff(path, tags, data=b"", next_directory=0):
    """A little-endian TIFF of one directory.

    Args:
        path: where.
        tags: type and values by number.
        data: what stands at byte 8.
        next_directory: where the next one is said to be.
    """
    start = 8 + len(data) + len(data) % 2
    behind = start + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for number, (kind, values) in sorted(tags.items()):
        code, sign = _TYPES[kind]
        raw = struct.pack(f"<{len(values)}{sign}", *values)
        if len(raw) > 4:
            raw, tail = struct.pack("<I", behind + len(tail)), tail + raw
        entries += struct.pack("<HHI", number, code, len(values)) + raw.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, start)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_directory)
    path.write_bytes((head + data).ljust(start, b"\0") + directory + tail)
    return path


def picture(height, width, bands=1, size=64, **further):
    """Tags of an uncompressed 8-bit picture of one strip that begins at byte 8."""
    tags = {
        256: ("long", [width]), 257: ("long", [height]), 259: ("short", [1]),
        258: ("short", [8] * (bands if bands < 9 else 1)),
        262: ("short", [1]), 273: ("long", [8]), 277: ("short", [bands]), 278: ("long", [height]),
        279: ("long", [size]), 284: ("short", [1]),
    }  # fmt: skip
    return tags | {int(number): value for number, value in further.items()}


def bomb(path, side, bands=3):
    """A sound file of some hundred kilobytes whose only tile is `side` pixels wide and high, all 0."""
    packer = zlib.compressobj(1)
    row = bytes(side * bands)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    tags = picture(side, side, bands) | PLACED
    for number in (273, 278, 279):
        del tags[number]
    tags |= {
        259: ("short", [8]), 258: ("short", [8] * bands), 322: ("long", [side]), 323: ("long", [side]),
        324: ("long", [8]), 325: ("long", [len(packed)]), 338: ("short", [0] * (bands - 1)),
    }  # fmt: skip
    return write_tiff(path, tags, packed)
