"""What a file is by its first bytes: a suffix may lie, and a name may have none."""

HEAD = 16
"""Bytes that `suffix_of` looks at."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\x93NUMPY", ".npy"),
)
_BMP_RESERVED = slice(6, 10)


def suffix_of(head: bytes) -> str | None:
    """Return the suffix that a file ought to have by its first `HEAD` bytes; None where they do not tell.

    Only formats with an unmistakable beginning are told: pictures and .npy. Text and archives are not.
    """
    for magic, suffix in _MAGIC:
        if head.startswith(magic):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:2] == b"BM" and len(head) >= 10 and head[_BMP_RESERVED] == bytes(4):  # two letters alone are a word
        return ".bmp"
    return None
