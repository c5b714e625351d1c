from .ranking import FullCatalogueRanking as FullCatalogueRanking
