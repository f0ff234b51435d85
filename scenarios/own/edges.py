"""A metric of your own: how far the edges of two images are apart."""

from channelsim import metric


@metric(higher_is_better=False, perfect=0.0)
def edge_error(images, references):
    """Mean absolute difference of horizontal and vertical differences, in pixel units, [N]."""
    total = 0.0
    for dim in (2, 3):
        apart = images.diff(dim=dim) - references.diff(dim=dim)
        total = total + apart.abs().flatten(1).mean(dim=1)
    return total / 2
