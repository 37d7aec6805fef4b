"""Picture files of every format, mode and depth come out as the pixels that a viewer shows."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from heatproof.errors import HeatproofWarning, InputError
from heatproof.inputs import read

COLORS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [128, 128, 128], [255, 255, 255]]], np.uint8)


def close(x, expected, atol=1e-6):
    np.testing.assert_allclose(x.data.numpy(), np.asarray(expected, np.float32), atol=atol)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".PNG"])
def test_lossless_color(tmp_path, suffix):
    path = tmp_path / f"roi{suffix}"
    Image.fromarray(COLORS).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    x = read(path)
    close(x, np.moveaxis(COLORS, -1, 0) / 255)
    assert (x.name, x.source, x.picture) == (path.name, path, True)
    assert x.channels == ("red", "green", "blue")
    assert [(axis.name, axis.unit) for axis in x.axes] == [("y", "px"), ("x", "px")]
    assert x.size == (2, 3)
    assert torch.equal(read(str(path)).data, x.data)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".jfif"])
def test_jpeg(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (17, 9), (200, 100, 50)).save(path, quality=95, format="JPEG")
    close(read(path), np.broadcast_to(np.array([200, 100, 50]).reshape(3, 1, 1) / 255, (3, 9, 17)), atol=2 / 255)


def test_gray_has_one_channel(tmp_path):
    Image.fromarray(COLORS[..., 0]).save(tmp_path / "a.png")
    x = read(tmp_path / "a.png")
    close(x, COLORS[None, ..., 0] / 255)
    assert (x.channels, x.picture) == (("gray",), True)


def test_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False, True]])).save(tmp_path / "a.png")
    close(read(tmp_path / "a.png"), [[[1, 0, 1]]])


def test_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 255, 0, 51])
    image.putdata([1, 0])
    image.save(tmp_path / "a.png")
    close(read(tmp_path / "a.png"), np.array([[[255, 9]], [[0, 8]], [[51, 7]]]) / 255)


def test_alpha_is_flattened_on_white():
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    close(read(Image.fromarray(rgba)), [[[1, 1, 0.8]], [[0, 1, 0.8]], [[0, 1, 0.8]]])
    la = Image.fromarray(np.array([[[0, 51], [255, 0], [102, 255]]], np.uint8))
    assert la.mode == "LA"
    close(read(la), [[[0.8, 1.0, 0.4]]])


def test_transparent_palette_and_transparent_color(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=0)
    close(read(tmp_path / "a.png"), [[[1, 1]], [[1, 0]], [[1, 0]]])
    Image.fromarray(np.array([[7, 51]], np.uint8)).save(tmp_path / "b.png", transparency=7)
    close(read(tmp_path / "b.png"), [[[1, 0.2]]])


def test_cmyk_and_ycbcr(tmp_path):
    Image.new("CMYK", (1, 1), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    close(read(tmp_path / "a.tif"), [[[1]], [[0]], [[0]]])
    close(read(Image.fromarray(COLORS).convert("YCbCr")), np.moveaxis(COLORS, -1, 0) / 255, atol=2 / 255)
    with pytest.raises(InputError, match="color mode 'LAB'"):
        read(Image.new("LAB", (2, 2)))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits(tmp_path, suffix):
    values = np.array([[0, 1, 256], [32768, 65534, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    x = read(tmp_path / f"a{suffix}")
    close(x, values[None] / 65535, atol=1e-7)
    assert x.picture


def test_big_endian_sixteen_bits():
    image = Image.frombytes("I;16B", (2, 1), np.array([256, 65535], ">u2").tobytes())
    close(read(image), [[[256 / 65535, 1]]])


def test_floating_point_tiff_keeps_its_values(tmp_path):
    values = np.array([[-3.5, 0.25], [1e5, 7.0]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    x = read(tmp_path / "a.tif")
    close(x, values[None])
    assert (x.picture, x.channels) == (False, ("value",))
    Image.fromarray(np.array([[0.0, 1.0]], np.float32)).save(tmp_path / "b.tif")
    assert read(tmp_path / "b.tif").picture


def test_thirty_two_bit_counts_keep_their_values(tmp_path):
    values = np.array([[-70000, 5]], np.int32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    close(read(tmp_path / "a.tif"), values[None])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # how a camera held that way stores the upright picture (EXIF 2.3, tag 0x0112: place of row 0 and column 0)
    store = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(store[orientation](upright))).save(tmp_path / "a.png", exif=exif)
    close(read(tmp_path / "a.png"), upright[None] / 255)


def test_first_frame_of_an_animation_and_first_page_of_a_tiff(tmp_path):
    frames = [Image.new("L", (3, 2), value) for value in (51, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "a.gif").data.unique().tolist() == pytest.approx([0.2])
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.warns(HeatproofWarning, match=r"a\.tif has 2 pages; the first is read") as caught:
        x = read(tmp_path / "a.tif")
    assert x.data.unique().tolist() == pytest.approx([0.2])
    assert len(caught) == 1


def test_a_pil_image_is_not_changed():
    image = Image.fromarray(COLORS)
    x = read(image, name="stain", channels=("a", "b", "c"))
    assert (x.name, x.channels) == ("stain", ("a", "b", "c"))
    x.data.zero_()
    assert np.array_equal(np.asarray(image), COLORS)


def encoded(file_format, size=(64, 48)):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format=file_format)
    return buffer.getvalue()


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP"}


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")  # Pillow's own, beside the error
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files(tmp_path, suffix, share):
    whole = encoded(FORMATS[suffix])
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=rf"cut\{suffix} is (a broken or truncated|not a) picture"):
        read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on broken metadata
@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    whole = bytearray(encoded(FORMATS[suffix], size=(16, 12)))
    generator = np.random.default_rng(0)
    path = tmp_path / f"damaged{suffix}"
    for _ in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 12):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):  # anything else fails the test
            read(path)


def test_text_with_a_picture_suffix(tmp_path):
    (tmp_path / "a.png").write_text("no picture at all")
    with pytest.raises(InputError, match=r"a\.png is not a picture that Pillow can read"):
        read(tmp_path / "a.png")


def test_empty_pil_image():
    with pytest.raises(InputError, match="is empty: 0 x 5 pixels"):
        read(Image.new("RGB", (0, 5)))


def test_the_pixel_limit(tmp_path, monkeypatch):
    Image.new("1", (100, 90)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"limit of 8999 pixels.*100 x 90 = 9000 pixels.*max_pixels="):
        read(tmp_path / "a.png", max_pixels=8999)
    assert read(tmp_path / "a.png", max_pixels=9000).size == (90, 100)
    for limit in (8999, 4000):  # where Pillow warns, and where it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match=f"limit of {limit} pixels"):
            read(tmp_path / "a.png")
        assert read(tmp_path / "a.png", max_pixels=9000).size == (90, 100)
        assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.real
def test_real_photographs(data_folder):
    from torchvision.transforms.functional import to_tensor

    paths = sorted((data_folder / "photos").rglob("*.JPEG")) or sorted((data_folder / "photos").rglob("*.jpg"))
    assert len(paths) == 200
    for path in paths[::20]:
        x = read(path)
        close(x, to_tensor(Image.open(path).convert("RGB")))


@pytest.fixture(scope="module")
def deep():
    """16 bits in each of 3 channels, of which 8 bits would leave 16 levels."""
    return np.random.default_rng(0).integers(0, 4096, (5, 7, 3), dtype=np.uint16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_in_every_channel_of_a_tiff(tmp_path, deep, orientation):
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    image = Image.fromarray((deep >> 4).astype(np.uint8))
    image.getexif()[274] = orientation
    upright = read(image).data * 255  # the upper bits, turned by Pillow
    x = read(tmp_path / "a.tif")
    assert (x.data * 65535).round().remainder(16).any()
    torch.testing.assert_close((x.data * 65535 / 16 + 1e-3).floor(), upright.round())
    assert x.channels == ("red", "green", "blue")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_a_tiff_lies_as_its_orientation_says_in_every_mode(tmp_path, mode, orientation):
    gray = Image.fromarray(np.random.default_rng(0).integers(0, 200, (5, 7), np.uint8))
    image = gray.convert("RGB").convert(mode) if mode != "I;16" else Image.fromarray(np.uint16(gray) * 256)
    image.save(tmp_path / "upright.tif")
    image.save(tmp_path / "turned.tif", tiffinfo={274: orientation})
    upright, turned = (read(tmp_path / f"{name}.tif").data for name in ("upright", "turned"))
    quarters, mirrored = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (3, 0), 7: (1, 1), 8: (1, 0)}[
        orientation
    ]
    expected = upright.rot90(quarters, (1, 2))
    torch.testing.assert_close(turned, expected.flip(2) if mirrored else expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_white_is_zero_in_sixteen_bits_turned_either_way(tmp_path, deep, orientation):
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "white.tif", 65535 - deep[..., 0], photometric="miniswhite", extratags=tags)
    tifffile.imwrite(tmp_path / "black.tif", deep[..., 0], photometric="minisblack", extratags=tags)
    white, black = (read(tmp_path / f"{name}.tif").data for name in ("white", "black"))
    torch.testing.assert_close(white, black)
    assert black.shape == ((1, 7, 5) if orientation > 4 else (1, 5, 7))


def test_transparency_in_sixteen_bits(tmp_path, deep):
    alpha = np.full((5, 7, 1), 65535 // 5, np.uint16)
    both = np.concatenate([deep, alpha], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", both, photometric="rgb", extrasamples=["unassalpha"])
    close(read(tmp_path / "a.tif"), np.moveaxis(deep, -1, 0) / 65535 / 5 + 4 / 5)


def test_tiffs_beyond_pillow(tmp_path):
    field = np.random.default_rng(1).normal(size=(5, 7))
    tifffile.imwrite(tmp_path / "a.tif", field)
    close(read(tmp_path / "a.tif"), field[None])
    stains = np.random.default_rng(2).integers(0, 256, (6, 5, 7), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", stains, photometric="minisblack", planarconfig="separate")
    x = read(tmp_path / "b.tif")
    close(x, stains / 255)
    assert x.channels == tuple(f"channel {i}" for i in range(6))
    with pytest.raises(InputError, match="more than the limit of 10"):
        read(tmp_path / "b.tif", max_pixels=10)


def test_a_png_of_sixteen_bits_per_channel_says_what_is_lost(tmp_path, deep):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.warns(HeatproofWarning, match="16 bits per channel, of which the upper 8 are read"):
        x = read(tmp_path / "a.png")
    close(x, np.moveaxis(deep >> 8, -1, 0) / 255)


def test_a_broken_link_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"a\.png is a link to .*gone\.png, which does not exist"):
        read(tmp_path / "a.png")
