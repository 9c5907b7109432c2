"""Denoise low-dose microscope images without inventing structure.

Names are loaded when first used: importing the package costs next to nothing
and never loads Qt, napari or torch.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
