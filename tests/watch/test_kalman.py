"""The filter is Ultralytics' with steps in seconds, for boxes that keep their shape."""

from __future__ import annotations

import numpy as np
from ultralytics.trackers.utils.kalman_filter import KalmanFilterXYAH

from streamwatch.watch import kalman


def test_it_equals_ultralytics_for_steps_of_a_second() -> None:
    peer = KalmanFilterXYAH()
    peer._std_weight_velocity = kalman.VELOCITY
    peer._motion_mat[[2, 3], [6, 7]] = 0
    random = np.random.default_rng(1)
    for _ in range(20):
        box = random.uniform(0, 100, 2)
        measured = kalman.measurement((*box, *(box + random.uniform(10, 200, 2))))
        mine, theirs = kalman.initiate(measured), peer.initiate(measured)
        for _ in range(10):
            for one, other in zip(mine, theirs, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
            measured = measured * random.uniform(0.9, 1.1, 4)
            mine = kalman.update(*kalman.step(*mine, elapsed=1.0), measured)
            theirs = peer.update(*peer.predict(*theirs), measured)


def test_a_step_is_as_long_as_it_takes() -> None:
    mean, covariance = kalman.initiate(np.array([100.0, 50.0, 0.5, 80.0]))
    mean[4:6] = 10.0, -4.0
    halves = kalman.step(*kalman.step(mean, covariance, 0.5), 0.5)
    whole = kalman.step(mean, covariance, 1.0)
    np.testing.assert_allclose(halves[0], whole[0])
    np.testing.assert_allclose(whole[0][:4], [110.0, 46.0, 0.5, 80.0])
    still = kalman.step(mean, covariance, 0.0)
    np.testing.assert_allclose(still[0], mean)
    np.testing.assert_allclose(still[1], covariance)
