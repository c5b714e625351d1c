"""Preprocessing of raw click logs into TFRecords with Apache Beam."""

from beam_preprocess.preparation import prepare
from beam_preprocess.settings import Settings, Work

__all__ = ["Settings", "Work", "prepare"]
