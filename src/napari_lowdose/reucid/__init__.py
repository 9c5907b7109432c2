"""REUCID: patches as wide as the PSF, an SVD per patch stack, a CNN that only classifies.

References
----------
M. A. J. Mitchell, S. Sanvito & L. Jones, "Rapid eigenpatch utility classifier for image
denoising", Scientific Reports 15 (2025), doi:10.1038/s41598-025-96859-x.
"""

from napari_lowdose.reucid.reucid import Reucid
from napari_lowdose.reucid.stack_step import StackStep

__all__ = ["Reucid", "StackStep"]
