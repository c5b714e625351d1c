from .model_card import MODEL_CARD as MODEL_CARD
from .model_card import describe_run as describe_run
from .saved_model import ITEMS as ITEMS
from .saved_model import export as export
from .signatures import signatures as signatures
