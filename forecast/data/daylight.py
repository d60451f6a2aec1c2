"""Hours of daylight.

Source: W. Forsythe et al., "A model comparison for daylength as a function of latitude and day of year", 1995.
"""

import numpy as np

SUNSET = np.radians(0.8333)  # the sun is down when its upper edge is below the horizon


def share(day: np.ndarray, latitude: float) -> np.ndarray:
    """The share of a day [row] that is light, by day of the year and latitude in degrees."""
    angle = 0.2163108 + 2 * np.arctan(0.9671396 * np.tan(0.0086 * (day - 186)))
    declination = np.arcsin(0.39795 * np.cos(angle))
    place = np.radians(latitude)
    height = (np.sin(SUNSET) + np.sin(place) * np.sin(declination)) / (np.cos(place) * np.cos(declination))
    return 1 - np.arccos(np.clip(height, -1, 1)) / np.pi
