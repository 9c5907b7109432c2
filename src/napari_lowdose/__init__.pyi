from . import metrics as metrics
from . import samples as samples
from .denoise import Run as Run
from .denoise import denoise as denoise
from .denoise import denoise_steps as denoise_steps
from .reucid import Reucid as Reucid
from .reucid import StackStep as StackStep
