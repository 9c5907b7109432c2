"""The Pearson loss, Eq. (4) of the pair paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Added to the variances, which are about 1 for normalised exposures.  It keeps the gradient finite
# for a dark crop without signal, whose loss is then about 1.
_VARIANCE = 1e-5


def pearson_loss(output: Tensor, partner: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return 1 minus the Pearson correlation of output and partner.

    .. math:: L = 1 - \frac{\operatorname{Cov}(R_\theta[\hat I'], \hat I'')}
       {\sqrt{\operatorname{Var} R_\theta[\hat I'] \, \operatorname{Var} \hat I''}}

    The correlation is over all pixels of the batch.  With a separate one for each crop, the gain
    and offset of the output could differ between crops.

    Parameters
    ----------
    output : (B, 1, Y, X) tensor
        Output of the network.
    partner : (B, 1, Y, X) tensor
        The other exposure.
    weight : (B, 1, Y, X) tensor, optional
        Weight of each pixel, 0 for held-out pixels.  By default all pixels have the same weight.

    Returns
    -------
    scalar float32 tensor
        Between 0 and 2.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (4).

    Examples
    --------
    >>> output = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
    >>> round(float(pearson_loss(output, 5 * output + 7)), 4)
    0.0
    >>> round(float(pearson_loss(output, -output)), 4)
    2.0
    """
    output, partner = output.float(), partner.float()  # 16 bits are too few for the sums
    if weight is None:
        weight = torch.ones_like(output)
    # A batch may be held out completely
    share = weight / weight.sum().clamp_min(1)
    r = output - (share * output).sum()
    i = partner - (share * partner).sum()
    covariance = (share * r * i).sum()
    variance_r, variance_i = (share * r * r).sum(), (share * i * i).sum()
    return 1 - covariance * torch.rsqrt((variance_r + _VARIANCE) * (variance_i + _VARIANCE))
