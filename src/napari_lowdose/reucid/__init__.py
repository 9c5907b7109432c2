"""REUCID: an SVD of image patches, and a CNN that classifies the eigenpatches.

References
----------
M. A. J. Mitchell, S. Sanvito & L. Jones, "Rapid eigenpatch utility classifier for image
denoising", Scientific Reports 15 (2025), doi:10.1038/s41598-025-96859-x.
"""

from napari_lowdose.reucid.known_eigenpatches import KnownEigenpatches
from napari_lowdose.reucid.reucid import Reucid
from napari_lowdose.reucid.stack_step import StackStep

__all__ = ["KnownEigenpatches", "Reucid", "StackStep"]
