from .base import SessionEncoder as SessionEncoder
from .base import SessionScorer as SessionScorer
from .registry import MODELS as MODELS
from .registry import ModelEntry as ModelEntry
from .registry import model_entry as model_entry
from .settings import EncoderSettings as EncoderSettings
from .settings import HLNSettings as HLNSettings
