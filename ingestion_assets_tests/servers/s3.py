"""An S3 store in memory, as strict about conditional writes as S3 is."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from typing import Any

import boto3

from ingestion_assets.embedded import LOOPBACK, Child, listening
from ingestion_assets_tests.servers.process import Server

# moto looks whether an If-Match holds and stores the object in two steps; two racing writers may both
# be let in between, which S3 never does.
_S3_PROGRAM = """
import sys, threading
from moto.s3.responses import S3Response
from moto.server import main

lock, put = threading.Lock(), S3Response._key_response_put

def one_at_a_time(*args, **kwargs):
    with lock:
        return put(*args, **kwargs)

S3Response._key_response_put = one_at_a_time
main(sys.argv[1:])
"""


class S3Server(Server):
    """An S3 store in memory (moto). Enforces If-None-Match and If-Match; accepts any key.

    `.bucket` exists, `new_bucket()` makes another; `.environment` is what a process needs to reach it,
    `.client()` a boto3 client.
    """

    access_key = "testing"
    secret_key = "testing"
    region = "us-east-1"

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def new_bucket(self) -> str:
        name = f"lake-{uuid.uuid4().hex[:12]}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def start(self, attempts: int = 5) -> None:
        super().start(attempts)
        self.bucket = self.new_bucket()

    def launch(self) -> Child:
        env = {  # no real credentials, no proxy
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
        }
        return Child(
            [sys.executable, "-c", _S3_PROGRAM, "-H", LOOPBACK, "-p", str(self.port)],
            log=self.folder / "moto.log",
            env=env | self.environment,
            cwd=self.folder,
        )

    def ready(self) -> bool:
        return listening(self.port)
