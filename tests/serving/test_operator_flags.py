"""Flags of operators and files of models: what is wrong in them is one sentence."""

import pytest
from commands import ROOT, run


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--tls_key_file", "key"), 2, "one of --tls_certificate_file and --tls_key_file"),
        (("--tls_client_ca_file", "ca"), 2, "--tls_client_ca_file needs TLS"),
        (("--tls_certificate_file", "x", "--tls_key_file", "y"), 1, "no certificate with its key"),
        (("--token_file", "nowhere"), 1, "--token_file nowhere cannot be read"),
        (("--token_file", "{empty}"), 1, "has no token: expected one line"),
        (("--model_config_file", "x"), 2, "exclude each other"),
        (("--served_versions", "latest:0"), 2, "expected at least 1 version"),
        (("--enable_batching=maybe",), 2, "--enable_batching is 'maybe', expected true or false"),
        (("--rest_api_timeout_in_ms=soon",), 2, "expected --rest_api_timeout_in_ms=MILLISECONDS"),
        (("--request_log_prefix", "/nowhere/x"), 1, "/nowhere is no directory"),
        (("--host", "no host"), 1, "--host no host has no address"),
    ],
)
def test_bad_flags(tmp_path, flags, code, message):
    (tmp_path / "model" / "3").mkdir(parents=True)
    (tmp_path / "empty").touch()
    flags = [flag.format(empty=tmp_path / "empty") for flag in flags]
    outcome = run("serving.serve", "--model_base_path", tmp_path / "model", *flags)
    assert message in outcome.sentence(code)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("model_config_list {", "is no ModelServerConfig in text format"),
        ("model_config_list {}", "there is no model"),
        ("custom_model_config {}", "Only ModelConfigList is currently supported"),
        (
            "model_config_list { config { name: 'a' base_path: '/x' } "
            "config { name: 'a' base_path: '/y' } }",
            "'a' is configured twice",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/nowhere' } }",
            "/nowhere is not a directory",
        ),
    ],
)
def test_bad_files_of_models(tmp_path, text, message):
    path = tmp_path / "models.config"
    if text is not None:
        path.write_text(text)
    outcome = run("serving.serve", "--model_config_file", path, "--port", 0, "--rest_api_port", 1)
    assert message in outcome.err and "Traceback" not in outcome.err


def test_the_file_for_tensorflow_serving_is_read():
    from serving.models import read_configs

    (config,) = read_configs(ROOT / "serving" / "models.config")
    assert (config.name, config.model_base_path, config.num_versions()) == ("hln", "/models/hln", 1)


def test_a_symbolic_link_serves_under_its_own_name(tmp_path):
    from serving.settings import ModelSettings

    (tmp_path / "hln-2026-01").mkdir()
    (tmp_path / "current").symlink_to("hln-2026-01")
    assert ModelSettings(str(tmp_path / "current")).name == "current"
    assert ModelSettings("gs://bucket/models/hln/").name == "hln"
