"""What a run asks of buckets is what deploy/access.md grants: documents are only read, and no bucket is ever changed."""

import json
import re

from tests.pipelines.jobs import Job, document
from tests.servers import Store

_REQUEST = re.compile(r'"(GET|POST|PUT|PATCH|DELETE|HEAD) (\S+)')


def operations(lines: list[str]) -> dict[str, set[str]]:
    """What was asked of each bucket, in the words of Cloud Storage's permissions."""
    found: dict[str, set[str]] = {}
    for line in lines:
        request = _REQUEST.search(line)
        assert request is not None, line
        method, path = request.groups()
        place = re.search(r"/b/([^/?]+)(/o(/[^?]+)?)?", path)
        assert place is not None, path
        bucket, objects, name = place.groups()
        if method in {"GET", "HEAD"}:
            asked = "objects.get" if name else "objects.list" if objects else "buckets.get"
        else:
            asked = {"POST": "objects.create", "PUT": "objects.create", "DELETE": "objects.delete"}.get(method, method)
        found.setdefault(bucket, set()).add(asked)
    return found


def test_documents_are_only_read_and_buckets_are_never_changed(job: Job, gcs_bucket: Store) -> None:
    for bucket in ("documents", "kept"):
        gcs_bucket._ask("POST", "/storage/v1/b?project=test", json.dumps({"name": bucket}).encode(), "application/json")
    for number in range(3):
        line = json.dumps(document(f"d{number}")).encode()
        gcs_bucket._ask("POST", f"/upload/storage/v1/b/documents/o?uploadType=media&name=en/{number}.jsonl", line)
    gcs_bucket._ask("POST", "/upload/storage/v1/b/documents/o?uploadType=media&name=en/bad.jsonl", b"not JSON\n")
    gcs_bucket.requests()
    for _ in range(2):
        record = job.run(input="gs://documents/en/*", workspace="gs://kept/workspace")
        assert record["exit_code"] == 3
    asked = operations(gcs_bucket.requests())
    assert asked["documents"] == {"objects.get", "objects.list"}
    # `roles/storage.objectUser`; deleting is part of writing over.
    assert {"objects.create", "objects.get", "objects.list"} <= asked["kept"]
    assert asked["kept"] <= {"objects.create", "objects.get", "objects.list", "objects.delete"}
    assert set(asked) == {"documents", "kept"}
