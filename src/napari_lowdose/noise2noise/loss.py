"""The loss, Eq. (4) of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Of normalised exposures, whose variance is about 1: a dark crop without any signal has a loss
# of about 1 and a gradient that stays finite.
_VARIANCE = 1e-5


def pearson_loss(output: Tensor, partner: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return one minus the Pearson correlation of output and partner.

    .. math:: L = 1 - \frac{\operatorname{Cov}(R_\theta[\hat I'], \hat I'')}
       {\sqrt{\operatorname{Var} R_\theta[\hat I'] \, \operatorname{Var} \hat I''}}

    One correlation over all pixels of the batch: were there one for each crop, every crop would
    be free to have a gain and an offset of its own.

    Parameters
    ----------
    output, partner : (B, 1, Y, X) tensors
    weight : (B, 1, Y, X) tensor, optional
        Which pixels count: 0 for those that are held out.

    Returns
    -------
    scalar float32 tensor
        0 to 2.

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
    output, partner = output.float(), partner.float()
    if weight is None:
        weight = torch.ones_like(output)
    share = weight / weight.sum().clamp_min(1)
    r = output - (share * output).sum()
    i = partner - (share * partner).sum()
    covariance = (share * r * i).sum()
    variance_r, variance_i = (share * r * r).sum(), (share * i * i).sum()
    return 1 - covariance * torch.rsqrt((variance_r + _VARIANCE) * (variance_i + _VARIANCE))
