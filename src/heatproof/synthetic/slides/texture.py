"""Periodic tissue-like textures, mixed from the two stains of immunohistochemistry as light mixes them."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

_STAINS = np.array([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]])
"""Optical density of hematoxylin and of DAB in red, green and blue (Ruifrok & Johnston 2001)."""


def noise(side: int, scale: int, rng: Generator) -> Float[np.ndarray, "side side"]:
    """Return smooth periodic noise of mean 0 and standard deviation 1, with details of about `scale` pixels."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * np.exp(-2 * (np.pi * frequency * scale / 2) ** 2)
    field = np.fft.ifft2(spectrum).real
    return (field - field.mean()) / field.std()


def tissue(side: int, *, stained: bool, rng: Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Return a periodic texture of pale stroma and blue nuclei; with brown glands, too, where it is stained."""
    stroma = 0.12 + 0.03 * noise(side, 24, rng)
    nuclei = 0.45 * _soft(noise(side, 7, rng) - 1.1)
    dab = np.zeros((side, side))
    if stained:
        dab = 1.0 * _soft(noise(side, 22, rng) - 0.3) * (0.9 + 0.1 * noise(side, 3, rng))
    return shine(stroma + nuclei, np.clip(dab, 0, None), rng)


def glass(side: int, rng: Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Return empty glass: nearly white, with the camera's noise."""
    return shine(np.full((side, side), 0.015), np.zeros((side, side)), rng)


def pen(side: int, rng: Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Return a green felt-tip mark, as pathologists leave them on the glass."""
    color = np.array([40, 150, 90]) + 6 * noise(side, 12, rng)[..., None]
    return np.clip(color, 0, 255).astype(np.uint8)


def shine(
    hematoxylin: Float[np.ndarray, "h w"], dab: Float[np.ndarray, "h w"], rng: Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the color of light that passed both stains (Beer-Lambert), with a little noise of the camera."""
    density = hematoxylin[..., None] * _STAINS[0] + dab[..., None] * _STAINS[1]
    light = 245 * np.exp(-density) + rng.normal(0, 1.5, density.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _soft(field: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return 0 below zero and 1 above, with a soft edge."""
    return 1 / (1 + np.exp(-field * 8))
