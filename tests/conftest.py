"""Fixtures that several test files share."""

import dataclasses
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests import servers
from tests.servers import AWS_ENVIRONMENT, GCSFS_ENVIRONMENT, Store, gcs_server, s3_server

os.environ.update(GCSFS_ENVIRONMENT)

ROOT = Path(__file__).parent.parent
OFFLINE_MODEL = ROOT / ".cache" / "models" / "multilingual-e5-small"


@pytest.fixture(scope="session")
def offline_model() -> Path:
    """The real multilingual model that `make model` builds."""
    if not (OFFLINE_MODEL / "model.safetensors").is_file():
        pytest.fail(f"{OFFLINE_MODEL} is missing: run `make model` first, or the tests by `make test`")
    return OFFLINE_MODEL


@pytest.fixture(scope="session")
def sample_corpus() -> Path:
    """The folder of the sample corpus."""
    return ROOT / "deploy" / "local" / "corpus"


@pytest.fixture(scope="session")
def milvus_235() -> Iterator[str]:
    """The address of a running Milvus 2.3.5, for tests marked `milvus`."""
    with servers.milvus_235() as address:
        yield address


_prefixes = count()


@pytest.fixture(scope="session")
def gcs_bucket() -> Iterator[Store]:
    """A bucket of a running fake-gcs-server, which `gs://` means from here on."""
    with pytest.MonkeyPatch.context() as patch, gcs_server() as store:
        patch.setenv("STORAGE_EMULATOR_HOST", store.address)
        yield store


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[Store]:
    """A bucket of a running moto server, which `s3://` means from here on."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as store:
        for name, value in {**AWS_ENVIRONMENT, "AWS_ENDPOINT_URL_S3": store.address}.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(params=["gs", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty part of a bucket, on GCS and on S3."""
    bucket: Store = request.getfixturevalue("gcs_bucket" if request.param == "gs" else "s3_bucket")
    return dataclasses.replace(bucket, prefix=f"part{next(_prefixes)}")
