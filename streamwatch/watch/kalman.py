"""A Kalman filter for boxes, in seconds: constant velocity over centre, aspect and height.

The state is `(8,)`: centre x, centre y, aspect (width over height) and height in pixels, then the
velocities of the four a second. Noises are shares of the box's height, and those of position are
SORT's as Ultralytics has them (Bewley et al. 2016, https://arxiv.org/abs/1602.00763); an unknown
velocity is within 2 heights a second, and changes by 0.2 of a height a second, as a random walk.

In numpy, because importing Ultralytics for its filter takes a daemon 480 MB and a second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box, center

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

POSITION = 1 / 20
"""Standard deviation of a position, in heights."""
VELOCITY = 0.2
"""Standard deviation of a velocity, in heights a second."""


def measurement(box: Box) -> Vector:
    """`(4,)`: centre x, centre y, aspect, height."""
    width, height = max(box[2] - box[0], 1e-3), max(box[3] - box[1], 1e-3)
    return np.array([*center(box), width / height, height])


def initiate(measured: Vector) -> tuple[Vector, Matrix]:
    """State and covariance of a thing seen for the first time, at rest."""
    height = measured[3]
    position, velocity = 2 * POSITION * height, 10 * VELOCITY * height
    deviations = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
    return np.concatenate((measured, np.zeros(4))), np.diag(np.square(deviations))


def step(mean: Vector, covariance: Matrix, elapsed: float) -> tuple[Vector, Matrix]:
    """State and covariance `elapsed` seconds later; the box's shape is assumed constant."""
    transition = np.eye(8)
    transition[[0, 1], [4, 5]] = elapsed
    height = mean[3]
    position, velocity = POSITION * height, VELOCITY * height
    variances = np.square([position, position, 1e-2, position, velocity, velocity, 1e-5, velocity])
    noise = np.diag(variances * elapsed)
    return transition @ mean, transition @ covariance @ transition.T + noise


def update(mean: Vector, covariance: Matrix, measured: Vector) -> tuple[Vector, Matrix]:
    """State and covariance corrected by a measurement."""
    position = POSITION * mean[3]
    expected = covariance[:4, :4] + np.diag(np.square([position, position, 1e-1, position]))
    gain = np.linalg.solve(expected, covariance[:4]).T
    return mean + gain @ (measured - mean[:4]), covariance - gain @ expected @ gain.T
