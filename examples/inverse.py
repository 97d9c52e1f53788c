# SPDX-License-Identifier: BSD-3-Clause
"""A net in place of a simulation, and the question the other way round: which inputs give this?

A planar arm of two links reaches a point for two angles of its joints. A net learns the way from
the angles to the point; Newton's method with the net's Jacobian then finds angles for a point. The
Jacobian of the arm is known, and shows how good that of the net is.

Run: python examples/inverse.py
"""

import numpy as np

import mlpcore

LINKS = (1.0, 0.7)


def arm(angles: np.ndarray) -> np.ndarray:
    """Where the hand is, (N, 2), for the angles (N, 2) of shoulder and elbow."""
    shoulder, elbow = angles[:, 0], angles[:, 0] + angles[:, 1]
    return np.stack(
        [
            LINKS[0] * np.cos(shoulder) + LINKS[1] * np.cos(elbow),
            LINKS[0] * np.sin(shoulder) + LINKS[1] * np.sin(elbow),
        ],
        axis=1,
    )


def arm_jacobian(angles: np.ndarray) -> np.ndarray:
    """The change of the hand's place with the angles, (2, 2)."""
    shoulder, elbow = angles[0], angles[0] + angles[1]
    far = LINKS[1] * np.array([-np.sin(elbow), np.cos(elbow)])
    near = LINKS[0] * np.array([-np.sin(shoulder), np.cos(shoulder)])
    return np.stack([near + far, far], axis=1)


def reach(net: mlpcore.MLP, goal: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Angles that bring the hand to `goal`, by Newton's method from a guess."""
    for step in range(20):
        place, jacobian = net.value_and_jacobian(angles)
        miss = goal - place
        print(f"  step {step}: the net's hand is {np.linalg.norm(miss):.2e} away")
        if np.linalg.norm(miss) < 1e-10:
            break
        angles = angles + np.linalg.solve(jacobian, miss)
    return angles


def main() -> None:
    """Train the net, compare the Jacobians, and reach for a point."""
    rng = np.random.default_rng(0)
    angles = rng.uniform([0.0, 0.3], [1.5, 2.5], (4000, 2))
    net = mlpcore.MLP([2, 64, 64, 2], "tanh", dtype="float64", seed=0)
    for learning_rate in (3e-3, 3e-4):
        adam = mlpcore.Adam(learning_rate)
        net.fit(angles, arm(angles), "mse", adam, epochs=40, batch_size=64, seed=0)

    sample = np.array([0.7, 1.2])
    print("Jacobian of the net:", *net.jacobian(sample).round(3).tolist())
    print("Jacobian of the arm:", *arm_jacobian(sample).round(3).tolist())
    goal = arm(np.array([[0.9, 1.6]]))[0]
    print(f"reaching for ({goal[0]:.3f}, {goal[1]:.3f}):")
    found = reach(net, goal, sample)
    miss = np.linalg.norm(arm(found[np.newaxis])[0] - goal)
    print(f"angles {found.round(3).tolist()}; the real hand misses by {miss:.1e}")


if __name__ == "__main__":
    main()
