"""Pictures: PNG, JPEG, TIFF (first page; any depth and number of channels), WebP, GIF (first frame), BMP."""

import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image
from torch import Tensor

from heatproof.errors import HeatproofWarning, InputError
from heatproof.inputs.assemble import assemble
from heatproof.inputs.pictures import from_picture
from heatproof.types import Axis, Input

NAME = "picture"
ALIASES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".webp", ".gif", ".bmp")
TIER = "core"

_LIMIT_LOCK = threading.Lock()


def read(
    path: Path,
    *,
    name: str,
    axis: Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    max_pixels: int | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read one picture file; see `heatproof.inputs.pictures.from_picture` for what becomes of its pixels.

    Raises:
        InputError: no picture, broken, or of more than `max_pixels` pixels (default: Pillow's `MAX_IMAGE_PIXELS`).

    Warns:
        HeatproofWarning: a TIFF has more than one page, of which the first is read; or only the upper 8 of 16 bits per
            channel could be.
    """
    limit = Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels
    deep = False
    try:
        with _pillow_limit(max_pixels), Image.open(path) as image:
            if limit is not None and image.width * image.height > limit:
                raise _too_large(name, limit, f"{image.width} x {image.height} = {image.width * image.height} pixels")
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            image.filename = (
                ""  # by name, Pillow maps an uncompressed file into memory, and garbles one that lies on its side
            )
            deep, negative = _cut_to_8_bits(image), _left_negative(image)
            whole = image.format == "TIFF" and (deep or negative)
            if whole and (data := _whole_page(path, name, limit)) is not None:
                deep = False
                result = assemble(data, name=name, axis=axis, channels=channels, source=path, allow_nan=allow_nan)
            elif negative:
                raise InputError(f"{name} stores white as 0 in a way that is not read; save it with black as 0.")
            else:
                image.load()
                result = from_picture(image, axis=axis, channels=channels, name=name, source=path, allow_nan=allow_nan)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, limit, str(error)) from error
    except Image.UnidentifiedImageError as error:
        if path.suffix.lower() in (".tif", ".tiff") and (data := _whole_page(path, name, limit)) is not None:
            return assemble(data, name=name, axis=axis, channels=channels, source=path, allow_nan=allow_nan)
        raise InputError(
            f"{name} is not a picture that Pillow can read, whatever its suffix {path.suffix!r} says; "
            "open it elsewhere and save it as PNG."
        ) from error
    # Pillow's decoders raise whatever the broken bytes lead them to; all of it means the same here
    except Exception as error:
        raise InputError(
            f"{name} is a broken or truncated picture ({type(error).__name__}: {error}); get an intact copy."
        ) from error
    if pages > 1:
        _warn(f"{name} has {pages} pages; the first is read. Save the page you mean as a file, or a stack as .npy.")
    if deep:
        _warn(f"{name} has 16 bits per channel, of which the upper 8 are read; save it as an array (.npy) to keep all.")
    return result


def _warn(message: str) -> None:
    warnings.warn(message, HeatproofWarning, stacklevel=6)  # the caller of heatproof.read


def _cut_to_8_bits(image: Image.Image) -> bool:
    """Say whether Pillow keeps only 8 of the 16 bits in each channel of a picture that is not loaded yet."""
    return not image.mode.startswith("I") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _left_negative(image: Image.Image) -> bool:
    """Say whether the picture stores white as 0 and Pillow leaves it so, as it does beyond 8 bits."""
    return image.mode[0] == "I" and getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0


def _whole_page(path: Path, name: str, limit: int | None) -> Tensor | None:
    """Return the first page of a TIFF as it is stored; None where that takes more than tifffile has."""
    from heatproof.inputs.tiff import read_page  # only pictures that need it pay for the import

    try:
        return read_page(path, name, limit)
    except InputError:
        raise
    except Exception:  # noqa: BLE001  broken bytes lead it to anything; Pillow's word on them is used
        return None


@contextmanager
def _pillow_limit(max_pixels: int | None) -> Generator[None]:
    """Lift Pillow's process-wide pixel limit, but only where the caller gave one, and put it back."""
    if max_pixels is None:
        yield
        return
    with _LIMIT_LOCK:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _too_large(name: str, limit: int | None, found: str) -> InputError:
    return InputError(
        f"{name} is larger than the limit of {limit} pixels, which guards against decompression bombs ({found}); "
        "if you trust it, pass a larger max_pixels=."
    )
