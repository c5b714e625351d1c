import dataclasses
import inspect

import pytest

import hln_tf
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import (
    checked,
    declared_fields,
    describe_range,
    documented,
    from_dict,
    setting,
    value_type,
)
from hln_tf.models import MODELS, model_entry


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = setting(3, "a count", minimum=1, maximum=9)
    share: float = setting(0.5, "a share", above=0.0, below=1.0)
    free: float = setting(0.0, "any number")
    colour: str = setting("red", "a colour", choices=("red", "blue"))
    flag: bool = setting(False, "a flag")
    limit: int | None = setting(None, "a limit, or none", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


def field(name):
    return next(each for each in dataclasses.fields(Settings) if each.name == name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "`count` is 0, expected at least 1 and at most 9"),
        ({"count": 10}, "`count` is 10, expected at least 1 and at most 9"),
        ({"share": 0.0}, "`share` is 0.0, expected more than 0.0 and below 1.0"),
        ({"share": 1.0}, "`share` is 1.0, expected more than 0.0 and below 1.0"),
        ({"share": float("nan")}, "`share` is nan, expected more than 0.0 and below 1.0"),
        ({"colour": "green"}, "`colour` is 'green', expected one of: red, blue"),
        ({"limit": 0}, "`limit` is 0, expected at least 1"),
        # Types are exact: no string is parsed, no truth value is a number.
        ({"count": 3.0}, "`count` is 3.0, expected a value of type int"),
        ({"count": "3"}, "`count` is '3', expected a value of type int"),
        ({"count": True}, "`count` is True, expected a value of type int"),
        ({"count": None}, "`count` is None, expected a value of type int"),
        ({"share": "0.5"}, "`share` is '0.5', expected a value of type float"),
        ({"share": True}, "`share` is True, expected a value of type float"),
        ({"flag": 1}, "`flag` is 1, expected a value of type bool"),
        ({"colour": 1}, "`colour` is 1, expected a value of type str"),
        ({"limit": 2.0}, "`limit` is 2.0, expected a value of type int"),
    ],
)
def test_values_that_are_not_allowed_are_named(values, message):
    with pytest.raises(UsageError) as caught:
        Settings(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused_without_a_range_too(value):
    with pytest.raises(UsageError, match=f"`free` is {value!r}, expected a finite number"):
        Settings(free=value)


@pytest.mark.parametrize("values", [{"count": 1}, {"count": 9}, {"share": 1e-9}, {"limit": None}])
def test_bounds_are_allowed(values):
    settings = Settings(**values)
    assert {name: getattr(settings, name) for name in values} == values


def test_a_whole_number_is_a_float():
    value = Settings(free=2).free
    assert (value, type(value)) == (2.0, float)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().count = 4


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        from_dict(Settings, {"count": 2, "colur": "red"}, "the preset")
    assert str(caught.value) == (
        "the preset has the unknown setting 'colur'; "
        "known are: count, share, free, colour, flag, limit"
    )


def test_values_by_name_leave_the_other_defaults():
    assert from_dict(Settings, {"count": 2}, "here") == Settings(count=2)
    assert from_dict(Settings, {}, "here") == Settings()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("count", "at least 1 and at most 9"),
        ("share", "more than 0.0 and below 1.0"),
        ("limit", "at least 1"),
        ("free", ""),
    ],
)
def test_ranges_in_words(name, words):
    assert describe_range(field(name)) == words


@pytest.mark.parametrize(
    ("name", "expected"), [("count", (int, False)), ("limit", (int, True)), ("flag", (bool, False))]
)
def test_types_of_fields(name, expected):
    assert value_type(field(name), Settings) == expected


def test_documented_settings_list_their_fields():
    documented(Settings)
    assert Settings.__doc__.splitlines()[1:] == [
        "",
        "Attributes:",
        "  count: A count; at least 1 and at most 9, 3 by default.",
        "  share: A share; more than 0.0 and below 1.0, 0.5 by default.",
        "  free: Any number; 0.0 by default.",
        "  colour: A colour; one of 'red', 'blue', 'red' by default.",
        "  flag: A flag; False by default.",
        "  limit: A limit, or none; at least 1, None by default.",
    ]


def test_every_settings_class_of_the_front_door_lists_its_fields():
    entries = [model_entry(name).settings for name in MODELS]
    for cls in (hln_tf.TrainingSettings, hln_tf.ProtocolSettings, hln_tf.HLNSettings, *entries):
        for each in declared_fields(cls):
            assert f"\n  {each.name}: " in inspect.getdoc(cls), (cls, each.name)
