"""Inspection of results: profiles, spectra, resolution, and whether what was removed is noise.

Names are loaded when first used.  `report` writes all measurements of a result as an HTML file.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
