"""Defences by training, as a recipe names them: against attacks, by mixing, through noise."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from channelsim.contracts.parts import Count, Decibels, Flag, Positive, part


@part
class AdversarialRecipe:
    """Lu & Chen's Algorithm 1 (2023): latent adversarial training of the decoder, and its kin.

    After each step on the loss, ``rounds`` times: z is drawn anew from the posterior, an attack
    finds δ within ``epsilon``, and the decoder alone takes one Adam step on e(x, g(z + δ)) against
    the *original* image. Attack and step run on batch norm's running statistics, which they leave
    alone.

    ``algorithm``: ``lu-chen-1``, the paper's attack: ``steps`` steps of projected gradient ascent
    drive the decoded image away from g(z). ``mixed``: each round draws one of ``none``, a single
    gradient step (``fgm``), ``pgd``, one ``universal`` δ for the whole batch, and Gaussian noise of
    the norm of a corner of the box (``awgn``), equally likely, after Nan et al. 2023.
    ``equal-compute``: no attack; instead of each of the ``steps`` gradients the attack may take, a
    plain step of the decoder on a fresh draw. That is at least the attack's compute (attacks often
    end sooner, and a step costs more than a gradient), so the baseline is not at a disadvantage.

    ``encoder: trained`` trains both as the paper does (joint); ``frozen`` leaves the encoder as
    ``init`` has it, so that the hardened receiver shares the latent space of the plain one.

    The paper's: ``epsilon`` 0.05, ``loss`` ssim (maximise 1 − SSIM), ``step`` sign (``l2``: along
    the gradient itself) of ``step_size`` 1 in latent units. Project defaults: ``rounds`` (M) 1,
    ``steps`` (K) 10, ``norm`` linf, ``start`` uniform in the ball (at zero the loss has no slope),
    ``keep_best``, and Adam moments separate from those of the first step.
    """

    kind: ClassVar[str] = "adversarial"

    algorithm: Literal["lu-chen-1", "mixed", "equal-compute"] = "lu-chen-1"
    encoder: Literal["trained", "frozen"] = "trained"
    rounds: Count = 1
    steps: Count = 10
    epsilon: Positive = 0.05
    norm: Literal["linf", "l2"] = "linf"
    step: Literal["sign", "l2"] = "sign"
    step_size: Positive = 1.0
    loss: Literal["ssim", "mse"] = "ssim"
    start: Literal["uniform", "zero"] = "uniform"
    keep_best: Flag = True


@part
class MixupRecipe:
    """Khan & Storkey's mixup (2023): mixed images and mixed latents are trained to agree.

    Adds KL(q(·|x_m) ‖ p) + ‖x_m − g(z_m)‖² + ‖z_m − μ(x_m)‖² to the VAE's loss, with
    x_m = a·x + (1 − a)·x_π, z_m = a·z + (1 − a)·z_π, and one a ~ Beta(``alpha``, ``alpha``) for the
    batch (``alpha``: default ½, theirs). ``pairing: shared`` mixes images and latents by the same a
    and π (the evident intent); ``released`` draws both twice, as the released code does, so that
    the two mixtures do not correspond.
    """

    kind: ClassVar[str] = "mixup"

    pairing: Literal["shared", "released"] = "shared"
    alpha: Positive = 0.5


@part
class ChannelRecipe:
    """Training through noise: the decoder sees z + n, n white and Gaussian.

    ``snr_db``: SNR = mean latent power of the batch ÷ noise power, both per real value, in dB; one
    number, or [low, high] for a value drawn per image, uniform in dB. Default 10 dB (project
    default). Measurements never use a batch's power; training may. Only the reconstruction
    crosses the channel; hardening steps and mixtures, if requested too, do not.
    """

    kind: ClassVar[str] = "channel"

    snr_db: Decibels | Annotated[tuple[Decibels, Decibels], "low, high"] = 10.0

    @model_validator(mode="after")
    def _ascending(self) -> ChannelRecipe:
        low, high = self.range_db
        if low > high:
            raise ValueError(f"snr_db [{low:g}, {high:g}]: give the lower value first")
        return self

    @property
    def range_db(self) -> tuple[float, float]:
        """Lowest and highest SNR."""
        if isinstance(self.snr_db, tuple):
            return self.snr_db
        return self.snr_db, self.snr_db


@part
class EarlyStopRecipe:
    """Stop when the loss on held-out training images no longer falls, and keep the best epoch.

    ``hold_out``: number of training images set aside (drawn by the seed), default 1,000;
    ``patience``: epochs without a new best before stopping, default 3. The loss is the recipe's
    own, hardening included, without batch statistics and at the same draws every time. The defaults
    are the project's.
    """

    kind: ClassVar[str] = "early_stop"

    hold_out: Count = 1000
    patience: Count = 3
