from . import search as search
from .settings import SearchSettings as SearchSettings
from .tuner import Tuner as Tuner
