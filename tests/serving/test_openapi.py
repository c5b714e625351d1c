"""The description of the HTTP routes: valid, complete, and true under generated requests."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUICK = {
    "max_examples": 20,
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def described(servers):
    """The descriptions of both models' servers."""
    return {
        name: servers[name, "batched"].ask("GET", "/openapi.json")[1]
        for name in ("half_plus_two", "hln")
    }


@pytest.mark.parametrize("name", ["half_plus_two", "hln"])
def test_it_is_valid(described, name):
    validate(described[name])


def test_it_has_the_routes_of_the_models_and_their_signatures(described):
    assert {
        "/healthz",
        "/readyz",
        "/monitoring/prometheus/metrics",
        "/v1/models/hln",
        "/v1/models/hln/metadata",
        "/v1/models/hln:predict",
        "/v1/models/hln/versions/{version}:predict",
        "/v2/models/hln/infer",
        "/v2/health/ready",
    } <= described["hln"]["paths"].keys()
    # Exports have neither classify nor regress.
    assert "/v1/models/hln:classify" not in described["hln"]["paths"]
    assert "/v1/models/half_plus_two:regress" in described["half_plus_two"]["paths"]
    bodies = described["hln"]["paths"]["/v1/models/hln:predict"]["post"]["requestBody"]
    schemas = bodies["content"]["application/json"]["schema"]["anyOf"]
    names = {schema["properties"]["signature_name"]["const"] for schema in schemas}
    assert names == {"serving_default", "sessions", "sessions_k", "explain", "embed"}
    each_k = next(
        schema["properties"]["inputs"]["properties"]["k"]
        for schema in schemas
        if schema["properties"]["signature_name"]["const"] == "sessions_k"
        and "inputs" in schema["properties"]
    )
    number = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert each_k == {"type": "array", "items": number}


def run_cases(cases, check):
    """Call a function with generated cases."""

    @settings(**QUICK)
    @given(cases)
    def test(case):
        check(case)

    test()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_generated_request_fails_the_server(servers, described, mode):
    """Requests from the description, valid or not: no answer contradicts it, none is a 500."""
    server = servers["hln", "batched"]
    schema = schemathesis.openapi.from_dict(described["hln"])
    count = 0

    def check(case):
        nonlocal count
        count += 1
        response = case.call(base_url=f"http://127.0.0.1:{server.rest}")
        case.validate_response(response, checks=CHECKS)

    for result in schema.get_all_operations():
        operation = result.ok()
        try:
            cases = operation.as_strategy(generation_mode=mode)
            run_cases(cases, check)
        except Unsatisfiable:
            # Nothing in a route without parameters can be wrong.
            assert mode is GenerationMode.NEGATIVE
    assert count > 100
    assert server.process.poll() is None
    assert not [event for event in server.events() if "traceback" in event]
