"""Lu & Chen's convolutional autoencoder, for training and inference.

Encoder: four convolutions with 32, 64, 128 and 64 channels, each with batch norm and leaky ReLU,
then one linear map to the latent; decoder mirrored, with a sigmoid at the end (arXiv 2307.02202,
section 4). The paper leaves open kernel 4, stride 2, padding 1, images of 32 × 32, a slope of 0.01
and no activation on either side of the latent: these are choices of this project.

    x [N,C,H,W] ─ conv 32 ─ 64 ─ 128 ─ 64 ─ linear ─► (mean, log variance) or z [N,K]
    z [N,K] ─ linear ─ convᵀ 128 ─ 64 ─ 32 ─ C ─ sigmoid ─► image [N,C,H,W]
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from channelsim.codecs.network import Network
from channelsim.support.row_product import RowProduct
from channelsim.support.rowwise import sigmoid

_CHANNELS = (32, 64, 128, 64)
_HALVINGS = 2 ** len(_CHANNELS)
_SLOPE = 0.01


class LuChen(Network):
    """The network in its training form.

    ``latent_size``: K. ``variational``: whether the encoder returns mean and standard deviation
    exp(½·logvar), or the latent alone. ``image_shape``: (C, H, W), H and W multiples of 16.
    """

    def __init__(
        self,
        *,
        latent_size: int,
        variational: bool = True,
        image_shape: tuple[int, int, int] = (1, 32, 32),
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        if height % _HALVINGS or width % _HALVINGS:
            raise ValueError(f"image_shape {image_shape}: H and W must be multiples of {_HALVINGS}")
        self.latent_size = latent_size
        self.variational = variational
        self.image_shape = image_shape
        self.encoder_frozen = False
        self.grid = (_CHANNELS[-1], height // _HALVINGS, width // _HALVINGS)
        features = self.grid[0] * self.grid[1] * self.grid[2]

        steps = list(zip((colours, *_CHANNELS), _CHANNELS, strict=False))
        self.encoder_convs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in steps)
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in steps)
        self.to_latent = nn.Linear(features, latent_size * (2 if variational else 1))

        back = [(o, i) for i, o in reversed(steps)]
        self.from_latent = nn.Linear(latent_size, features)
        self.decoder_convs = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in back)
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in back[:-1])

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean [N, K] and log variance [N, K] (None unless variational)."""
        signal = images
        for conv, norm in zip(self.encoder_convs, self.encoder_norms, strict=True):
            signal = functional.leaky_relu(norm(conv(signal)), _SLOPE)
        out = self.to_latent(signal.flatten(1))
        if not self.variational:
            return out, None
        mean, log_variance = out.chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Latent [N, K], or (mean, standard deviation) when variational."""
        mean, log_variance = self.moments(images)
        return mean if log_variance is None else (mean, torch.exp(0.5 * log_variance))

    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W] in (0, 1)."""
        signal = self.from_latent(latent).view(-1, *self.grid)
        for conv, norm in zip(self.decoder_convs[:-1], self.decoder_norms, strict=True):
            signal = functional.leaky_relu(norm(conv(signal)), _SLOPE)
        return sigmoid(self.decoder_convs[-1](signal))

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of ``moments``."""
        parts = (self.encoder_convs, self.encoder_norms, self.to_latent)
        return [parameter for part in parts for parameter in part.parameters()]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of ``decode``."""
        parts = (self.from_latent, self.decoder_convs, self.decoder_norms)
        return [parameter for part in parts for parameter in part.parameters()]

    def freeze_encoder(self) -> None:
        """Keep the encoder's batch norm in eval mode during training from now on, so μ(x) stays."""
        self.encoder_frozen = True
        for parameter in self.encoder_parameters():
            parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> LuChen:
        """Switch batch norm to batch statistics, or back."""
        super().train(mode)
        if self.encoder_frozen:
            self.encoder_norms.eval()
        return self

    def folded(self) -> FoldedLuChen:
        """The same map for inference, with batch norm's running statistics folded in."""
        return FoldedLuChen(self)


class FoldedLuChen(nn.Module):
    """`LuChen` for inference: eval mode, no parameter gradients, channels-last.

    Batch norm with running statistics is an affine map, so it is folded into the convolution before
    it. The decoder's first linear map and first transposed convolution, with nothing but that
    affine map between them, become a single matrix. The last transposed convolution, with few
    output channels, runs twice as fast as a 2 × 2 convolution to four times the channels, one for
    each pixel of a 2 × 2 block (for the layers between, that is slower).
    """

    def __init__(self, network: LuChen) -> None:
        super().__init__()
        self.variational = network.variational
        source = copy.deepcopy(network).double().eval().requires_grad_(False)
        with torch.no_grad():
            self.encoder = nn.ModuleList(
                _fold(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm), out_dim=0)
                for conv, norm in zip(source.encoder_convs, source.encoder_norms, strict=True)
            )
            self.to_latent = RowProduct(source.to_latent.weight.T, source.to_latent.bias)
            up = [
                _fold(cast(nn.ConvTranspose2d, conv), cast(nn.BatchNorm2d, norm), out_dim=1)
                for conv, norm in zip(source.decoder_convs[:-1], source.decoder_norms, strict=True)
            ]
            bias, weight, self.grid = _merge_first(source, cast(nn.ConvTranspose2d, up[0]))
            self.from_latent = RowProduct(weight, bias)
            self.decoder = nn.ModuleList(up[1:])
            self.to_image = _as_shuffle(cast(nn.ConvTranspose2d, source.decoder_convs[-1]))
        self.float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def encode(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Latent [N, K], or (mean, standard deviation) when variational."""
        signal = images
        for conv in self.encoder:
            signal = functional.leaky_relu(conv(signal), _SLOPE)
        out = self.to_latent(signal.flatten(1))
        if not self.variational:
            return cast(Tensor, out)
        mean, log_variance = out.chunk(2, dim=1)
        return mean, torch.exp(0.5 * log_variance)

    def decode(self, latent: Tensor) -> Tensor:
        """Image [N, C, H, W] in (0, 1); differentiable with respect to the latent."""
        signal = functional.leaky_relu(self.from_latent(latent), _SLOPE)
        signal = signal.view(-1, *self.grid).permute(0, 3, 1, 2)  # already channels-last
        for conv in self.decoder:
            signal = functional.leaky_relu(conv(signal), _SLOPE)
        image = functional.pixel_shuffle(self.to_image(signal), 2)[:, :, 1:-1, 1:-1]
        return sigmoid(image)


def _fold(
    conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d, *, out_dim: int
) -> nn.Conv2d | nn.ConvTranspose2d:
    """γ·(conv(x) − m)/√(v + e) + β as one convolution; ``out_dim``: the weight's output axis."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shape = [1, 1, 1, 1]
    shape[out_dim] = -1
    conv.weight.copy_(conv.weight * scale.view(shape))
    conv.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
    return conv


def _merge_first(
    source: LuChen, conv: nn.ConvTranspose2d
) -> tuple[Tensor, Tensor, tuple[int, int, int]]:
    """Linear map, then (folded) transposed convolution → bias [HWC], weight [K, HWC], (H, W, C)."""
    # An affine map is determined by its values at zero and at the unit vectors.
    probes = torch.zeros(source.latent_size + 1, source.latent_size, dtype=torch.float64)
    probes[1:] = torch.eye(source.latent_size, dtype=torch.float64)
    answers = conv(source.from_latent(probes).view(-1, *source.grid)).permute(0, 2, 3, 1)
    grid = (answers.shape[1], answers.shape[2], answers.shape[3])
    flat = answers.flatten(1)
    return flat[0].clone(), (flat[1:] - flat[0]).contiguous(), grid


def _as_shuffle(conv: nn.ConvTranspose2d) -> nn.Conv2d:
    """Kernel 4, stride 2, padding 1, as a convolution before pixel_shuffle and a crop by one.

    Output pixel 2u − 1 + a (a = 0, 1) meets inputs u − 1 and u with kernel taps 2 + a and a.
    """
    assert conv.bias is not None
    inputs, colours = conv.weight.shape[:2]
    taps = conv.weight.view(inputs, colours, 2, 2, 2, 2).flip(2, 4)  # [i, o, near y, a, near x, b]
    out = nn.Conv2d(inputs, 4 * colours, 2, padding=1, dtype=conv.weight.dtype)
    out.weight.copy_(taps.permute(1, 3, 5, 0, 2, 4).reshape(4 * colours, inputs, 2, 2))
    assert out.bias is not None
    out.bias.copy_(conv.bias.repeat_interleave(4))
    return out
