"""Files in a bucket of S3, or of what speaks its protocol: conditional writes, again after a conflict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from ingestion_assets.stores.objects.base import Objects, StoreError

_CONFLICTS_BORNE = 20
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409", "NoSuchKey", "404")


class S3Objects(Objects):
    def __init__(self, location: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(location)
        self._bucket, self._options = parts.netloc, options
        endpoint = options.get("endpoint_url")
        if bool(options.get("access_key")) != bool(options.get("secret_key")):
            raise StoreError(
                f"cannot use {location}: only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set. "
                "Set both, or neither to use this machine's own AWS identity"
            )
        fs = pafs.S3FileSystem(
            access_key=options.get("access_key"),
            secret_key=options.get("secret_key"),
            session_token=options.get("session_token"),
            region=options.get("region") or "us-east-1",
            endpoint_override=urlsplit(endpoint).netloc if endpoint else None,
            scheme=urlsplit(endpoint).scheme if endpoint else "https",
            connect_timeout=10,
            request_timeout=60,
        )
        super().__init__(location, fs, f"{parts.netloc}{parts.path}")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        # A session of its own: the shared one may not be used from several threads.
        return boto3.session.Session().client(
            "s3",
            aws_access_key_id=self._options.get("access_key"),
            aws_secret_access_key=self._options.get("secret_key"),
            aws_session_token=self._options.get("session_token"),
            region_name=self._options.get("region") or "us-east-1",
            endpoint_url=self._options.get("endpoint_url"),
            config=Config(
                connect_timeout=10, read_timeout=60, retries={"max_attempts": 4, "mode": "standard"}
            ),
        )

    def _key(self, path: str) -> str:
        return self.full(path).removeprefix(f"{self._bucket}/")

    def _versioned(self, path: str) -> tuple[bytes | None, str | None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
            return answer["Body"].read(), answer["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None, None
            raise OSError(f"S3 says {error.response['Error']['Code']}: {error}") from error
        except BotoCoreError as error:
            raise OSError(str(error)) from error

    def _update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        for conflicts in range(_CONFLICTS_BORNE):
            time.sleep(random.random() * 0.05 * conflicts)  # noqa: S311 so that racing writers fall out of step
            before, version = self._versioned(path)
            content = change(before)
            if content is None:
                return False
            condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=content, **condition)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _CONFLICTS:
                    continue  # another writer was faster: take its rows in and try again
                raise OSError(f"S3 says {code}: {error}") from error
            except BotoCoreError as error:
                raise OSError(str(error)) from error
            return True
        raise OSError(f"{_CONFLICTS_BORNE} other writers were faster, one after the other")
