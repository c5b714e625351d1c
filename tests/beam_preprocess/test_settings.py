"""The settings of preprocessing that no protocol has, and those of the named data sets."""

import dataclasses

import pytest

from beam_preprocess import Settings
from beam_preprocess.datasets import CUSTOM, CUSTOM_DEFAULTS, DATASETS
from hln_tf.common.errors import UsageError
from hln_tf.data.protocol_settings import PROTOCOLS, ProtocolSettings


@pytest.mark.parametrize("wrong", [{"separator": ""}, {"separator": "\n"}, {"dataset": "other"}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UsageError, match=f"`{next(iter(wrong))}` "):
        Settings(**wrong)


def test_a_tab_can_be_written_as_an_escape():
    assert Settings(separator="\\t").separator == "\t"


@pytest.mark.parametrize("name", DATASETS)
def test_named_data_sets_have_the_protocols_of_the_same_names(name):
    found = Settings(**DATASETS[name].defaults, dataset=name)
    for field in dataclasses.fields(ProtocolSettings):
        assert getattr(found, field.name) == getattr(PROTOCOLS[name], field.name)
    assert set(PROTOCOLS) == {*DATASETS, CUSTOM}
    assert CUSTOM_DEFAULTS == {"order": "time"}
