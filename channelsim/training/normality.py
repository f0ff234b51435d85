"""A differentiable Shapiro–Wilk statistic of the normality of a batch of latents.

For n sorted values y₍₁₎ ≤ … ≤ y₍ₙ₎ and Royston's weights a (antisymmetric, ‖a‖ = 1),

    W = (Σ aᵢ y₍ᵢ₎)² / Σ (yᵢ − ȳ)²  ∈ (0, 1],  near 1 for normal samples

(Shapiro & Wilk 1965; weights of Royston 1995, algorithm AS R94, as in scipy.stats.shapiro).
Lu & Chen's loss is 1 − W (arXiv 2307.02202, equation 3); for several dimensions they cite a
reference, so the extension is an option here; the project default, ``sliced``, follows Palmer et
al. 2023 (GoFAE).

W ignores shift and scale: it draws the latents towards some normal law, not towards N(0, I).
`moment_penalty` fixes mean and variance, and generating from such a codec needs a fitted N(m, S).
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["sliced", "marginal", "whitened"]
Reduce = Literal["mean", "min"]

_LAST = (-2.706056, 4.434685, -2.071190, -0.147981, 0.221157)
_LAST_BUT_ONE = (-3.582633, 5.682633, -1.752461, -0.293762, 0.042981)
_MOST_DIRECTIONS = 10
_POOL, _GROUPS, _SEED = 65536, 20000, 7  # the simulation behind `threshold`


@functools.lru_cache(maxsize=32)
def weights(n: int) -> Tensor:
    """Royston's weights a [n], float64, rising and antisymmetric; n at least 3."""
    if n < 3:
        raise ValueError(f"Shapiro–Wilk of {n} values: it takes at least 3")
    # The first call may come inside inference_mode; the cached weights must still allow gradients.
    with torch.inference_mode(False), torch.no_grad():
        if n == 3:
            half = math.sqrt(0.5)
            return torch.tensor([-half, 0.0, half], dtype=torch.float64)
        ranks = torch.arange(1, n + 1, dtype=torch.float64)
        m = torch.special.ndtri((ranks - 0.375) / (n + 0.25))
        m = 0.5 * (m - m.flip(0))  # antisymmetric to the last bit, so that shifts cancel
        length = torch.linalg.vector_norm(m)
        u = n**-0.5
        corrected = 1 if n <= 5 else 2
        ends = torch.empty(corrected, dtype=torch.float64)  # the largest, outermost first
        for place, row in enumerate((_LAST, _LAST_BUT_ONE)[:corrected]):
            slope = sum(
                factor * u**power for factor, power in zip(row, (5, 4, 3, 2, 1), strict=True)
            )
            ends[place] = slope + m[n - 1 - place] / length
        rest = m[corrected : n - corrected]
        # The remainder of ‖a‖² = 1 goes to the inner weights, in proportion to m.
        a = torch.empty(n, dtype=torch.float64)
        a[corrected : n - corrected] = rest * torch.sqrt(
            (1.0 - 2.0 * ends.square().sum()) / rest.square().sum()
        )
        a[:corrected] = -ends
        a[n - corrected :] = ends.flip(0)
        return a


def shapiro_w(columns: Tensor) -> Tensor:
    """W of each column of ``columns`` [n, k], as [k]; differentiable almost everywhere.

    A column that is constant but for rounding has no W: there it falls to 0, the farthest from
    normal, with no gradient where the column is exactly constant. Computed in float32 at least.
    """
    dtype = torch.promote_types(columns.dtype, torch.float32)
    with torch.autocast(columns.device.type, enabled=False):
        values = columns.to(dtype)
        mean = values.mean(0)
        # Centred before squaring: in float32 the difference of squares would lose the variance.
        centred = torch.sort(values - mean, dim=0).values
        a = weights(len(values)).to(dtype=dtype, device=values.device)
        info = torch.finfo(dtype)
        rounding = len(values) * (info.eps * mean.detach()).square() + info.tiny
        return (a @ centred).square() / (centred.square().sum(0) + rounding)


def statistic(
    latents: Tensor,
    mode: Mode = "sliced",
    *,
    directions: int | None = None,
    reduce: Reduce = "mean",
    generator: torch.Generator | None = None,
) -> Tensor:
    """W̄ of ``latents`` [B, d]: the mean (or ``min``) of W over several views of them; a scalar.

    ``mode``:

    * ``sliced``: projections on random orthonormal directions, drawn anew from ``generator`` at
      each call. ``directions``: how many, at most d; default min(d, 10), as in GoFAE (which takes
      the minimum; the mean is a project default).
    * ``marginal``: the d coordinates; blind to how they depend on each other.
    * ``whitened``: the d coordinates of S^(−1/2)(z − z̄), symmetric root (Villaseñor-Alva &
      González-Estrada 2009); needs B > d. Its law under normality is the same for every mean and
      covariance.
    """
    if latents.ndim != 2:
        raise ValueError(f"latents {list(latents.shape)}: statistic wants the shape [B, d]")
    if mode == "sliced":
        views = latents @ _directions(latents, directions, generator)
    elif mode == "marginal":
        views = latents
    elif mode == "whitened":
        views = whiten(latents)
    else:
        raise ValueError(f"mode {mode!r}: allowed are sliced, marginal and whitened")
    values = shapiro_w(views)
    return values.min() if reduce == "min" else values.mean()


def view_count(latent_size: int, mode: Mode, directions: int | None = None) -> int:
    """Number of columns that `statistic` averages over."""
    return (directions or min(latent_size, _MOST_DIRECTIONS)) if mode == "sliced" else latent_size


def _directions(
    latents: Tensor, directions: int | None, generator: torch.Generator | None
) -> Tensor:
    size = latents.shape[1]
    count = view_count(size, "sliced", directions)
    if not 1 <= count <= size:
        raise ValueError(
            f"directions {count}: a latent of {size} values has room for 1 to {size} of them"
        )
    # Haar up to the signs of columns, and W is invariant to signs.
    normals = torch.randn(size, count, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(normals).Q.to(dtype=latents.dtype, device=latents.device)


def whiten(latents: Tensor) -> Tensor:
    """S^(−1/2)(z − z̄) [B, d] up to one common factor, S the covariance of ``latents`` [B, d].

    The root comes from the coupled Newton–Schulz iteration (Higham 2008, section 6.7), because the
    gradient of an eigendecomposition is infinite at equal eigenvalues. Directions without variance
    stay near zero.
    """
    size, width = latents.shape
    if size <= width:
        raise ValueError(
            f"mode whitened: a batch of {size} cannot whiten {width} latent values; use a batch"
            f" larger than {width}, or mode sliced"
        )
    dtype = torch.promote_types(latents.dtype, torch.float32)
    with torch.autocast(latents.device.type, enabled=False):
        centred = latents.to(dtype)
        centred = centred - centred.mean(0)
        scatter = centred.T @ centred
        info = torch.finfo(dtype)
        # Divided by its trace, so that all eigenvalues lie in (0, 1].
        scatter = scatter / (scatter.diagonal().sum() + info.tiny)
        one = torch.eye(width, dtype=dtype, device=latents.device)
        root, inverse = scatter + 10.0 * info.eps * one, one
        for _ in range(60):
            error = one - inverse @ root
            step = one + 0.5 * error
            root, inverse = root @ step, step @ inverse
            if float(error.detach().abs().max()) < 10.0 * info.eps * width:
                break
        return centred @ inverse


@functools.lru_cache(maxsize=64)
def threshold(alpha: float, n: int, columns: int = 1, reduce: Reduce = "mean") -> float:
    """T_α: W̄ falls below it with probability ``alpha`` if the n latents are normal.

    ``columns``: number of W in the statistic (`view_count`), taken as independent; they are for
    N(m, σ²I) in mode ``sliced``, and nearly so otherwise. From a simulation with its own fixed seed
    (65,536 samples of size n, 20,000 groups of them), so always the same number, with a standard
    error of about 0.0015 in α at α = 0.05.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"hinge_alpha {alpha}: must lie between 0 and 1")
    pool = _normal_pool(n)
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(_SEED + 1)
        if columns == 1:
            values = pool
        else:
            chosen = torch.randint(len(pool), (_GROUPS, columns), generator=generator)
            groups = pool[chosen]
            values = groups.mean(1) if reduce == "mean" else groups.amin(1)
        return float(torch.quantile(values, alpha))


@functools.lru_cache(maxsize=8)
def _normal_pool(n: int) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(_SEED)
        block = max(1, min(_POOL, 2**22 // n))
        parts = []
        for start in range(0, _POOL, block):
            count = min(block, _POOL - start)
            parts.append(shapiro_w(torch.randn(count, n, generator=generator).T.double()))
        return torch.cat(parts)


def shapiro_loss(
    latents: Tensor,
    mode: Mode = "sliced",
    *,
    directions: int | None = None,
    reduce: Reduce = "mean",
    hinge_alpha: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """1 − W̄ of ``latents`` [B, d], or with ``hinge_alpha`` the hinge max(T_α − W̄, 0); a scalar.

    Normal samples do not reach W = 1: E(1 − W) is 0.019 at B = 64, and a further decrease makes a
    batch more regular than chance would. The hinge is 0 where a test of level α does not reject.
    """
    found = statistic(latents, mode, directions=directions, reduce=reduce, generator=generator)
    if hinge_alpha is None:
        return 1.0 - found
    count = view_count(latents.shape[1], mode, directions)
    return (threshold(hinge_alpha, len(latents), count, reduce) - found).clamp_min(0.0)


def moment_penalty(latents: Tensor) -> Tensor:
    """‖z̄‖² + ‖diag S − 1‖² of ``latents`` [B, d], S with B − 1 in its denominator; a scalar.

    Its mean is d/B + 2d/(B − 1) under N(0, I).
    """
    variance = latents.var(dim=0, correction=1)
    return latents.mean(0).square().sum() + (variance - 1.0).square().sum()
