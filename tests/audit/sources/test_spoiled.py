"""A folder in which everything is wrong that was seen so: each file ends in the right input or in a sentence."""

import contextlib
import io
import os
import struct
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.audit.sources.pictures import by_id, pixels, png, put

from heatproof.audit.sources import open_source
from heatproof.errors import InputError


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def array(values):
    out = io.BytesIO()
    np.save(out, values, allow_pickle=True)
    return out.getvalue()


def bomb():
    """A small PNG that says it is 100,000 x 100,000."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def archive_bomb():
    """A small .npz that says it holds 64 GB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", array(np.zeros(4)))
    data = out.getvalue()
    size = struct.pack("<I", len(array(np.zeros(4))))
    return data.replace(size, struct.pack("<I", 0xF0000000))


RGB = Image.fromarray(pixels(1))
GRAY = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
BAD = {
    "truncated.png": (png(1)[:60], "is a broken or truncated picture"),
    "truncated.jpg": (encoded(RGB.resize((64, 64)), "JPEG")[:700], "is a broken or truncated picture"),
    "zero.png": (b"", r"is empty \(0 bytes\)"),
    "text.png": (b"file,label\na.png,1\n", "is not a picture that Pillow can read"),
    "bomb.png": (bomb(), "larger than the limit of .* pixels, which guards against decompression bombs"),
    "bomb.npz": (archive_bomb(), "guards against decompression bombs"),
    "nan.npy": (array(np.array([[0.0, np.nan], [1.0, np.inf]])), "holds 2 of 4 values that are not finite"),
    "truncated.npy": (array(np.zeros((9, 9)))[:200], "is no intact .npy file"),
    "pickled.npy": (array(np.array([{}], dtype=object)), "holds pickled Python objects, which are never loaded"),
    "huge.npy": (array(np.zeros(1)).replace(b"(1,)", b"(9" + b"9" * 10 + b",)")[:200], "is no intact .npy file"),
    "line\nbreak.png": (b"", r"^line\\x0abreak\.png is empty"),
    "caf\udce9.png": (b"x", r"^caf\\xe9\.png is not a picture"),
}
GOOD = {
    "cmyk.jpg": (encoded(RGB.convert("CMYK"), "JPEG"), (3, 6, 8)),
    "palette.png": (encoded(RGB.quantize(16), "PNG"), (3, 6, 8)),
    "sixteen.png": (encoded(Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000), "PNG"), (1, 6, 8)),
    "animated.gif": (encoded(RGB, "GIF", save_all=True, append_images=[GRAY]), (3, 6, 8)),
    "animated.webp": (encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(180)]), (3, 6, 8)),
    "png_inside.jpg": (png(1), (3, 6, 8)),
    "png_inside.npy": (png(1), (3, 6, 8)),
    "png_inside.txt": (png(1), (3, 6, 8)),
    "npy_inside.png": (array(np.zeros((6, 8), np.uint8)), (1, 6, 8)),
    "gray.bmp": (encoded(GRAY, "BMP"), (1, 6, 8)),
    "line\nbreak2.png": (png(1), (3, 6, 8)),
    "caf\udce8.png": (png(1), (3, 6, 8)),
}


@pytest.fixture
def spoiled(tmp_path):
    for name, (data, _) in {**BAD, **GOOD}.items():
        put(tmp_path, f"class/{name}", data)
    (tmp_path / "class/loop.png").symlink_to("loop.png")
    (tmp_path / "class/parent").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "class/pipe.png")
    return tmp_path


def test_every_file_is_read_or_says_why_not(spoiled):
    source = open_source(str(spoiled))
    entries = by_id(source)
    assert len(entries) == len(BAD) + len(GOOD) + 1
    wanted = {f"class/{name}": result for name, (_, result) in {**BAD, **GOOD}.items()}
    wanted["class/loop.png"] = "cannot be opened"
    readable = {name.encode("utf-8", "backslashreplace").decode().replace("\\udc", "\\x").replace("\n", "\\x0a"): result
                for name, result in wanted.items()}  # fmt: skip
    assert set(readable) == set(entries)
    for name, result in readable.items():
        if isinstance(result, tuple):
            assert tuple(source.read(entries[name])[0].data.shape) == result, name
            continue
        with pytest.raises(InputError, match=result.replace("^", r"^class/")) as caught:
            source.read(entries[name])
        sentence = str(caught.value)
        sentence.encode()
        assert name in sentence
        assert str(spoiled) not in sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence
    assert dict(source.left_out()).keys() == {"class/parent", "class/pipe.png"}


def test_right_values_come_out(spoiled):
    source = open_source(str(spoiled))
    entries = by_id(source)
    sixteen = source.read(entries["class/sixteen.png"])[0].data
    assert torch.allclose(sixteen.flatten(), torch.arange(48) * 1000 / 65535)
    exact = torch.from_numpy(pixels(1)).movedim(-1, 0).float() / 255
    for name in ("png_inside.jpg", "png_inside.npy", "png_inside.txt"):
        assert torch.equal(source.read(entries[f"class/{name}"])[0].data, exact)
    palette = torch.from_numpy(np.array(RGB.quantize(16).convert("RGB"))).movedim(-1, 0).float() / 255
    assert torch.equal(source.read(entries["class/palette.png"])[0].data, palette)


def test_nothing_is_warned_of(spoiled):
    source = open_source(str(spoiled))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for entry in source:
            with contextlib.suppress(InputError):
                source.read(entry)
    assert [str(one.message) for one in told] == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_files_and_folders_without_permission():
    """As another user, where this is run by root, who may read everything."""
    before = os.geteuid()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        for name in ("a/open.png", "a/shut.png", "b/inside.png"):
            put(root, name)
        (root / "a/shut.png").chmod(0)
        (root / "b").chmod(0)
        try:
            if before == 0:
                os.seteuid(65534)
            source = open_source(str(root))
            entries = by_id(source)
            assert list(entries) == ["a/open.png", "a/shut.png", "b/"]
            assert source.read(entries["a/open.png"])[0].size == (6, 8)
            with pytest.raises(InputError, match=r"a/shut\.png cannot be opened \(Permission denied\)"):
                source.read(entries["a/shut.png"])
            with pytest.raises(InputError, match="The folder b/ cannot be listed; check its permissions"):
                source.read(entries["b/"])
        finally:
            os.seteuid(before)
            (root / "b").chmod(0o755)
