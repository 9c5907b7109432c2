"""The classifier of the REUCID paper (Fig. 3) in PyTorch, for training.

`napari_lowdose` runs the trained network without PyTorch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class UtilityNet(nn.Module):
    """Two convolutions, channel means joined with the singular value, and dense layers of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 14, 5, padding=1)
        self.conv2 = nn.Conv2d(14, 15, 3, padding=1)
        self.fc3 = nn.Linear(16, 16)
        self.fc4 = nn.Linear(16, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, patches: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return logits (k,) for patches (k, 25, 25) and normalised singular values (k,)."""
        x = patches[:, None]  # (k, 1, 25, 25)
        x = F.max_pool2d(F.elu(self.conv1(x)), 2)  # (k, 14, 11, 11)
        x = F.max_pool2d(F.elu(self.conv2(x)), 2)  # (k, 15, 5, 5)
        x = torch.cat([x.mean(dim=(2, 3)), values[:, None]], dim=1)  # (k, 16)
        x = F.elu(self.fc3(x))
        x = F.elu(self.fc4(x))
        return self.out(x)[:, 0]

    def either_sign(self, patches: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the mean logit for both signs, because the SVD does not determine the sign."""
        return (self(patches, values) + self(-patches, values)) / 2
