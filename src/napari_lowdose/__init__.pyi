from . import metrics as metrics
from . import samples as samples
from .denoise import Run as Run
from .denoise import denoise as denoise
from .denoise import denoise_steps as denoise_steps
from .imaging.noise_model import simulate_pair as simulate_pair
from .reucid import Reucid as Reucid
from .reucid import StackStep as StackStep
