from .inputs import as_sessions as as_sessions
from .recommendations import Recommendations as Recommendations
from .recommendations import scored_items as scored_items
from .session_graph import SessionGraph as SessionGraph
from .settings import ServingSettings as ServingSettings
