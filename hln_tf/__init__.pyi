from . import layers as layers
from . import metrics as metrics
from . import models as models
from . import tasks as tasks
from .analysis.explanation import Explanation as Explanation
from .data.dataset import SessionDataset as SessionDataset
from .data.protocol_settings import ProtocolSettings as ProtocolSettings
from .models.hln import HLN as HLN
from .models.settings import HLNSettings as HLNSettings
from .recommender import Recommender as Recommender
from .recommender import explain as explain
from .recommender import load as load
from .retrieval.recommendations import Recommendations as Recommendations
from .retrieval.settings import ServingSettings as ServingSettings
from .training.registration import register_model as register_model
from .training.run_directory import RunDirectory as RunDirectory
from .training.run_directory import load_model as load_model
from .training.settings import TrainingSettings as TrainingSettings

__version__: str
