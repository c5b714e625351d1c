from .ranking import KS as KS
from .ranking import FullCatalogueRanking as FullCatalogueRanking
from .ranking import MRRAtK as MRRAtK
from .ranking import RecallAtK as RecallAtK
