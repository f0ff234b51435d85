"""A detector of your own: the distance to the nearest latents that were seen in training."""

from typing import ClassVar

from channelsim import Count, Detector, OpenFraction, part


@part
class Neighbours(Detector):
    """Score: distance to the ``k``-th nearest of at most ``most`` benign latents.

    ``false_alarm``: share of undisturbed messages that may be refused; the threshold follows.
    """

    kind: ClassVar[str] = "neighbours"

    false_alarm: OpenFraction = 0.05
    k: Count = 5
    most: Count = 500

    def fit(self, latents):
        """What is kept of benign latents [M, K]."""
        return {"seen": latents[: self.most].clone()}  # kept in the run's header

    def score(self, latents, state):
        """The larger, the more suspicious: [N] for latents [N, K]."""
        # Row by row: a score must not depend on the rows beside it, to the last bit.
        apart = (latents[:, None, :] - state["seen"][None]).square().sum(dim=2)
        return apart.kthvalue(self.k, dim=1).values.sqrt()
