"""Principal component analysis as a codec: the best linear one at a given latent size.

Encoder z = V(x − m), decoder g(z) = m + Vᵀz, the rows of V the K leading unit eigenvectors of the
training images' covariance. Among all linear codecs of K values it has the smallest mean squared
error, the sum of the eigenvalues left out.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from channelsim.codecs.network import Network
from channelsim.support.row_product import RowProduct

_ROWS = 1024


class PCANetwork(Network):
    """Mean and components of a principal component analysis; zeros until `fit`.

    The latent is not whitened: VVᵀ = I, so the decoder is an isometry (JᵀJ = I), damage in the
    image is as large as the perturbation of the latent, and latent value j has the variance λ_j.
    Nothing is clamped: a decoded image may leave [0, 1].

    ``latent_size``: K, at most C·H·W. ``variational``: must be False. ``image_shape``: (C, H, W),
    default (1, 32, 32), the project's.
    """

    mean: Tensor
    components: Tensor

    def __init__(
        self,
        *,
        latent_size: int,
        variational: bool = False,
        image_shape: tuple[int, int, int] = (1, 32, 32),
    ) -> None:
        super().__init__()
        values = math.prod(image_shape)
        if variational:
            raise ValueError("variational True: pca has no posterior; it must be False")
        if not 1 <= latent_size <= values:
            raise ValueError(
                f"latent_size {latent_size}: an image of shape {list(image_shape)} has from 1 to"
                f" {values} components"
            )
        self.latent_size = latent_size
        self.variational = variational
        self.image_shape = image_shape
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("components", torch.zeros(latent_size, values))

    def encode(self, images: Tensor) -> Tensor:
        """Latent [N, K]."""
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W], which may leave [0, 1]."""
        return (latent @ self.components + self.mean).view(-1, *self.image_shape)

    def folded(self) -> FoldedPCA:
        """The same map for inference."""
        return FoldedPCA(self)

    @classmethod
    def fit(cls, images: Tensor, latent_size: int) -> PCANetwork:
        """Principal components of ``images`` [N, C, H, W] (float, or bytes), N > ``latent_size``.

        Exact, in float64, through the eigenvectors of the covariance, or of the images' products
        where there are fewer images than values in one; stored in float32. Of each component's two
        signs, the one whose entry of largest magnitude is positive.
        """
        count = len(images)
        if count <= latent_size:
            raise ValueError(
                f"latent_size {latent_size}: {count} images have at most {count - 1} components;"
                " take more images or a smaller latent"
            )
        colours, height, width = images.shape[1:]
        network = cls(latent_size=latent_size, image_shape=(colours, height, width))
        blocks = torch.split(images.flatten(1), _ROWS)
        mean = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / count
        components = _principal(blocks, mean, count, latent_size)
        peak = components.gather(1, components.abs().argmax(1, keepdim=True))
        network.mean.copy_(mean / 255 if images.dtype == torch.uint8 else mean)
        network.components.copy_(components * torch.sign(peak))
        return network.eval()


class FoldedPCA(nn.Module):
    """`PCANetwork` for inference: every row is computed separately."""

    mean: Tensor

    def __init__(self, network: PCANetwork) -> None:
        super().__init__()
        self.image_shape = network.image_shape
        self.register_buffer("mean", network.mean)
        self.analysis = RowProduct(network.components.T)
        self.synthesis = RowProduct(network.components, network.mean)
        self.eval()

    def encode(self, images: Tensor) -> Tensor:
        """Latent [N, K]."""
        return cast(Tensor, self.analysis(images.flatten(1) - self.mean))

    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W], which may leave [0, 1]."""
        return cast(Tensor, self.synthesis(latent)).reshape(-1, *self.image_shape)


def _principal(blocks: tuple[Tensor, ...], mean: Tensor, count: int, latent_size: int) -> Tensor:
    """The leading eigenvectors of the covariance, as rows [K, values], largest first."""
    if count < len(mean):
        centred = torch.cat([block.double() - mean for block in blocks])
        vectors = torch.linalg.eigh(centred @ centred.T).eigenvectors  # by rising eigenvalue
        rows = vectors[:, -latent_size:].flip(1).T @ centred
        return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for block in blocks:
        centred = block.double() - mean
        covariance.addmm_(centred.T, centred, alpha=1 / count)
    return torch.linalg.eigh(covariance).eigenvectors[:, -latent_size:].flip(1).T
