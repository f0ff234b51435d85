"""The diversity of a set of latents, or of generated images."""

from __future__ import annotations

from torch import Tensor

from channelsim.support.errors import InputError


def latent_diversity(latents: Tensor, adversarial: Tensor) -> float:
    """tr Cov(z_adv)/tr Cov(z) of ``latents`` and ``adversarial`` latents, both [N, K].

    Above 1, the perturbation spreads the latents; below 1, it drives them together (as one target
    for all images does). It quantifies what Lu & Chen (arXiv 2307.02202) read off t-SNE plots, in
    which distances between clusters mean nothing. A common shift of all latents does not change it.
    """
    before = _variance(latents, "latents").sum()
    if float(before) == 0.0:
        raise InputError(
            f"latents: all {len(latents)} rows are equal, so tr Cov(z) is 0 and no ratio to it"
            " exists; take latents of different images"
        )
    return float(_variance(adversarial, "adversarial latents").sum() / before)


def generation_diversity(images: Tensor) -> float:
    """Mean squared difference per pixel value between two of ``images`` [N, C, H, W].

    Over all pairs i ≠ j, mean ‖x_i − x_j‖²/CHW, which is 2·tr Cov(x)/CHW with N − 1 in the
    covariance; in [0, ½·N/(N − 1)] for images in [0, 1]. Decode draws from the codec's prior: N(0,
    I) where training draws the latents to it (KL, MMD), but N(m, S) fitted to the training latents
    where it fixes neither mean nor covariance (Shapiro–Wilk, PCA, a plain autoencoder); with the
    wrong one, the figure does not describe the codec. A collapsed decoder scores 0; noise scores
    high too, so read it beside a figure of quality. The averaged distance is a choice of this
    project.
    """
    return 2.0 * float(_variance(images, "images").mean())


def _variance(rows: Tensor, what: str) -> Tensor:
    """Variance of each value over the rows, N − 1 in the denominator."""
    if len(rows) < 2:
        raise InputError(f"{what}: {len(rows)} of them have no variance; give at least 2")
    return rows.flatten(1).double().var(dim=0, correction=1)
