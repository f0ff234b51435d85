"""A quadratic model of a row's objective around δ = 0, from differences of gradients."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from channelsim.adversaries.row_search import Answer, Question, SearchedRow
from channelsim.contracts.records import Floats

# A row of at most so many values gets the whole Hessian, another one its leading part; the number
# of vectors, and of rounds, of that. Project's choices.
WHOLE = 12
_VECTORS, _ROUNDS = 4, 2
_STEP = 0.5  # of the radius, between two gradients; project's choice


@dataclass(frozen=True, slots=True)
class Quadratic:
    """J(δ) ≈ J(0) + gᵀδ + ½·Σ_i λ_i·(v_iᵀδ)².

    ``slope`` g [D]; ``vectors`` [D, m], columns v_i; ``curvatures`` λ [m], the largest first.
    """

    slope: Floats
    vectors: Floats
    curvatures: Floats

    def gain(self, points: Floats) -> Floats:
        """J(δ) − J(0) at points [n, D]."""
        along = points @ self.vectors
        return points @ self.slope + 0.5 * np.square(along) @ self.curvatures

    @property
    def diagonal(self) -> Floats:
        """∂²J/∂δ_j² [D]."""
        return np.square(self.vectors) @ self.curvatures


def quadratic(row: SearchedRow) -> Generator[Question, Answer, Quadratic]:
    """The model of a row, for D gradients up to D = 12, and 8 beyond.

    H·v ≈ (∇J(h·v) − ∇J(0))/h with h half the radius; beyond D = 12 for orthogonal iteration, two
    rounds of it, on four random vectors. For damage by the mean square error H = 2·JᵀJ/N at 0, with
    J the Jacobian of the image of N pixels.
    """
    step = _STEP * row.radius
    if row.size <= WHOLE:
        basis = np.eye(row.size)
        answer = yield Question(step * basis, gradient=True)
        image = (answer.gradients - row.gradient) / step
    else:
        image = np.array([row.normal("curvature", one) for one in range(_VECTORS)])
        for _ in range(_ROUNDS):
            basis = np.linalg.qr(image.T)[0].T
            answer = yield Question(step * basis, gradient=True)
            image = (answer.gradients - row.gradient) / step
    within = basis @ image.T
    curvatures, vectors = np.linalg.eigh((within + within.T) / 2)
    order = np.argsort(-curvatures, kind="stable")
    return Quadratic(row.gradient, basis.T @ vectors[:, order], curvatures[order])
