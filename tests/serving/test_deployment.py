"""The files for TensorFlow Serving, as far as they can be checked without it."""

import re

import pytest
import yaml
from commands import ROOT
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

SERVING = ROOT / "serving"

# tensorflow_serving/model_servers/main.cc of TensorFlow Serving
FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_model_warmup",
    "enable_per_model_batching_parameters",
    "enable_profiler",
    "enable_signature_method_name_check",
    "file_system_poll_wait_seconds",
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "grpc_socket_path",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "port",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_enable_cors_support",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "saved_model_tags",
    "ssl_config_file",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_config_file",
    "tensorflow_session_parallelism",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "version",
    "xla_cpu_compilation_enabled",
}

# Two messages that tensorflow-serving-api does not ship, by its sources' field numbers:
# tensorflow_serving/servables/tensorflow/session_bundle_config.proto and
# tensorflow_serving/config/monitoring_config.proto.
MISSING = """
name: "missing.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.Int64Value" }
  field { name: "batch_timeout_micros" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.Int64Value" }
  field { name: "max_enqueued_batches" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.Int64Value" }
  field { name: "num_batch_threads" number: 4 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.Int64Value" }
  field { name: "thread_pool_name" number: 5 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.StringValue" }
  field { name: "allowed_batch_sizes" number: 6 label: LABEL_REPEATED type: TYPE_INT64 }
  field { name: "pad_variable_length_inputs" number: 7 label: LABEL_OPTIONAL type: TYPE_BOOL }
}
message_type { name: "PrometheusConfig"
  field { name: "enable" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
  field { name: "path" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
}
message_type { name: "MonitoringConfig"
  field { name: "prometheus_config" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PrometheusConfig" }
}
"""


@pytest.fixture(scope="module")
def missing():
    """Messages by name."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = text_format.Parse(MISSING, descriptor_pb2.FileDescriptorProto())
    pool.AddSerializedFile(file.SerializeToString())
    return lambda name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    )()


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((SERVING / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def kserve():
    return list(yaml.safe_load_all((SERVING / "kserve.yaml").read_text()))


def flags(arguments):
    """Flags of the server by name, after a check that each exists."""
    found = dict(re.fullmatch(r"--(\w+)=(.+)", argument).groups() for argument in arguments)
    assert found.keys() <= FLAGS
    return found


def test_the_model_config_serves_the_largest_version():
    config = text_format.Parse(
        (SERVING / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "hln",
        "/models/hln",
        "tensorflow",
    )
    assert model.model_version_policy.latest.num_versions == 1


def test_the_last_allowed_batch_size_is_the_largest_batch(missing):
    parameters = text_format.Parse(
        (SERVING / "batching.config").read_text(), missing("BatchingParameters")
    )
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[-1] == parameters.max_batch_size.value
    assert parameters.num_batch_threads.value >= 1 and parameters.max_enqueued_batches.value >= 1
    assert parameters.batch_timeout_micros.value < 10_000


def test_prometheus_scrapes_the_metrics_path(missing):
    config = text_format.Parse(
        (SERVING / "monitoring.config").read_text(), missing("MonitoringConfig")
    ).prometheus_config
    (job,) = yaml.safe_load((SERVING / "prometheus.yml").read_text())["scrape_configs"]
    assert config.enable and config.path == job["metrics_path"]


def test_compose_has_profiles_for_cpu_and_gpu(compose):
    # Fields of the Compose specification.
    known = {"name", "services", "x-serving"}
    fields = {
        *("image", "profiles", "entrypoint", "command", "ports", "volumes", "networks"),
        *("restart", "deploy"),
    }
    assert compose.keys() == known
    services = compose["services"]
    assert {name: service["profiles"] for name, service in services.items()} == {
        "cpu": ["cpu"],
        "gpu": ["gpu"],
        "prometheus": ["monitoring"],
    }
    assert all(service.keys() <= fields for service in services.values())
    assert services["gpu"]["image"] == services["cpu"]["image"] + "-gpu"
    assert re.fullmatch(r"tensorflow/serving:\$\{\w+:-\d+\.\d+\.\d+\}", services["cpu"]["image"])
    (device,) = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_compose_mounts_every_file_that_its_flags_name(compose, name):
    service = compose["services"][name]
    mounted = {}
    for volume in service["volumes"]:
        source, target, mode = re.fullmatch(r"(.+):(/\S+):(ro)", volume).groups()
        mounted[target] = source
        assert mode == "ro" and (source.startswith("${") or (SERVING / source).is_file())
    used = flags(service["command"])
    files = {value for flag, value in used.items() if flag.endswith("_file")}
    assert len(files) == 3 and files | {"/models"} == mounted.keys()
    for port in (used["port"], used["rest_api_port"]):
        assert f"127.0.0.1:{port}:{port}" in service["ports"]


def test_prometheus_finds_the_server_of_either_profile(compose):
    (job,) = yaml.safe_load((SERVING / "prometheus.yml").read_text())["scrape_configs"]
    host, _, port = job["static_configs"][0]["targets"][0].partition(":")
    for name in ("cpu", "gpu"):
        service = compose["services"][name]
        assert host in service["networks"]["default"]["aliases"]
        assert flags(service["command"])["rest_api_port"] == port


def test_kserve_mounts_the_same_configuration(kserve):
    config, service = kserve
    assert (config["apiVersion"], config["kind"]) == ("v1", "ConfigMap")
    assert config["data"] == {
        name: (SERVING / name).read_text() for name in ("batching.config", "monitoring.config")
    }
    assert (service["apiVersion"], service["kind"]) == (
        "serving.kserve.io/v1beta1",
        "InferenceService",
    )
    predictor = service["spec"]["predictor"]
    (volume,) = predictor["volumes"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    (mount,) = predictor["model"]["volumeMounts"]
    assert mount["name"] == volume["name"]
    used = flags(predictor["model"]["args"])
    files = {value for flag, value in used.items() if flag.endswith("_file")}
    assert files == {f"{mount['mountPath']}/{name}" for name in config["data"]}
    # The runtime gives these itself; twice would be the last one's.
    assert not used.keys() & {"model_name", "model_base_path", "port", "rest_api_port"}


def test_kserve_uses_fields_that_exist(kserve):
    # Fields of InferenceService v1beta1: PredictorSpec with ComponentExtensionSpec and the pod's,
    # ModelSpec with the container's.
    predictor = kserve[1]["spec"]["predictor"]
    assert predictor.keys() <= {"annotations", "minReplicas", "maxReplicas", "model", "volumes"}
    assert predictor["model"].keys() <= {
        *("modelFormat", "protocolVersion", "runtimeVersion", "storageUri"),
        *("args", "resources", "volumeMounts"),
    }
    assert predictor["model"]["modelFormat"] == {"name": "tensorflow", "version": "2"}
    assert predictor["model"]["storageUri"] == "pvc://models/hln"
    annotations = {**kserve[1]["metadata"]["annotations"], **predictor["annotations"]}
    assert all(isinstance(value, str) for value in annotations.values())


def test_both_deployments_name_one_version(compose, kserve):
    tag = re.search(r":-([\d.]+)\}", compose["services"]["cpu"]["image"])[1]
    assert kserve[1]["spec"]["predictor"]["model"]["runtimeVersion"] == tag
