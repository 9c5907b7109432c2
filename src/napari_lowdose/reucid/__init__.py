"""REUCID: patches as wide as the PSF, an SVD per patch stack, a CNN that only classifies.

References
----------
J. Mitchell, T. Sanvito & L. Jones, "REUCID" (2025).
"""

from napari_lowdose.reucid.reucid import Reucid, StackStep

__all__ = ["Reucid", "StackStep"]
