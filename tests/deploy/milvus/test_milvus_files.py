"""The files that start a Milvus: pinned, closed to the outside, without a secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from transforms.adapters.milvus.capabilities import capabilities_of
from transforms.logic.sizing import index_bytes, sizing_table

FOLDER = ROOT / "deploy" / "milvus"
PINNED = re.compile(
    r"(?:[a-z0-9.-]+/)+[a-z0-9-]+:(?:v?\d+\.\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\dT[0-9-]+Z)(?:@sha256:[0-9a-f]{64})?"
)
REFERENCE = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")
SERVICE_KEYS = {"image", "command", "environment", "volumes", "ports", "healthcheck", "depends_on", "restart"}
"""Those of the Compose specification that are used; a misspelt one would be refused by compose, and is here."""
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}


def parsed(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    compose = parsed("compose.yaml")
    assert set(compose) == {"name", "services", "volumes"}
    found: dict[str, dict[str, Any]] = compose["services"]
    assert set(found) == {"etcd", "minio", "milvus"}
    named = {volume.partition(":")[0] for service in found.values() for volume in service["volumes"]}
    assert named == set(compose["volumes"])
    return found


def test_services_say_nothing_that_compose_does_not_know(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert set(service) <= SERVICE_KEYS
        assert set(service["healthcheck"]) <= HEALTH_KEYS
        assert service["healthcheck"]["test"][0] == "CMD"
        for other, condition in service.get("depends_on", {}).items():
            assert other in services
            assert condition == {"condition": "service_healthy"}


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert PINNED.fullmatch(service["image"]), service["image"]
    values = parsed("values.yaml")
    image = values["image"]["all"]
    assert f"{image['repository']}:{image['tag']}" == services["milvus"]["image"]


def test_ports_are_bound_to_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:9000:9000", "127.0.0.1:19530:19530"]
    values = parsed("values.yaml")
    assert values["service"]["type"] == "ClusterIP"
    assert values["ingress"]["enabled"] is False


def test_authentication_is_on_and_passwords_are_references(services: dict[str, dict[str, Any]]) -> None:
    milvus = services["milvus"]["environment"]
    assert milvus["COMMON_SECURITY_AUTHORIZATIONENABLED"] == "true"
    secrets = {
        name: value
        for service in services.values()
        for name, value in service["environment"].items()
        if re.search("PASSWORD|SECRET|KEY|USER", name)
    }
    assert len(secrets) == 5
    assert all(REFERENCE.fullmatch(value) for value in secrets.values()), secrets
    # What compose and Milvus are given is the same.
    assert milvus["MINIO_ACCESS_KEY_ID"] == services["minio"]["environment"]["MINIO_ROOT_USER"]
    assert milvus["MINIO_SECRET_ACCESS_KEY"] == services["minio"]["environment"]["MINIO_ROOT_PASSWORD"]
    values = parsed("values.yaml")
    inner = yaml.safe_load(values["extraConfigFiles"]["user.yaml"])
    assert inner == {"common": {"security": {"authorizationEnabled": True}}}
    (password,) = values["mixCoordinator"]["extraEnv"]
    assert password["name"] == "COMMON_SECURITY_DEFAULTROOTPASSWORD"
    assert set(password["valueFrom"]["secretKeyRef"]) == {"name", "key"}
    assert "accessKey" not in values["minio"]
    assert values["minio"]["existingSecret"] == "milvus-minio"


def test_every_component_has_a_memory_limit() -> None:
    values = parsed("values.yaml")
    for component in ("mixCoordinator", "proxy", "streamingNode", "dataNode", "queryNode"):
        resources = values[component]["resources"]
        assert set(resources) == {"requests", "limits"}
        assert set(resources["limits"]) == {"memory"}
        assert set(resources["requests"]) == {"cpu", "memory"}


def test_the_pinned_version_is_one_that_this_project_knows(services: dict[str, dict[str, Any]]) -> None:
    version = services["milvus"]["image"].partition(":v")[2]
    assert capabilities_of(version).indexes >= {"HNSW", "IVF_RABITQ", "BIN_FLAT"}


def test_the_readme_has_the_table_and_its_examples_follow() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sizing_table() in text
    for index, kind, said in (("HNSW", "float32", 1.68), ("HNSW", "int8", 0.53), ("BIN_FLAT", "binary", 0.05)):
        size = index_bytes(index, kind, 384, 1_000_000) / 1e9  # type: ignore[arg-type]
        assert round(size, 2) == said
        assert f"({said} + 1.2) × 10 × 1.5 = {(said + 1.2) * 15:.0f} GB" in text


def test_commands_of_the_readme_name_what_is_there() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"deploy/[a-z/.]+\.yaml", text):
        assert Path(ROOT, path).is_file()
    chart = re.findall(r"--version (\S+)", text)
    assert set(chart) == set(re.findall(r"--version (\S+)", (FOLDER / "values.yaml").read_text(encoding="utf-8")))
