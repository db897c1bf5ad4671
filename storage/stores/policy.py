"""Bucket policies: a peer may list and read only what is addressed to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minio import Minio

from tombolo.storage.stores.base import check_key


def peer_statements(bucket: str, peer: str, principal: str, prefix: str = "") -> list[dict[str, Any]]:
    """The two statements that let ``principal`` (an ARN) read ``to-<peer>/`` of a bucket.

    Raises BadKey if the name cannot be part of a key; ``*`` or ``?`` in it would give access to the folders of other peers.
    """
    folder = check_key(f"{prefix.strip('/')}/to-{peer}".lstrip("/"))
    who = {"AWS": [principal]}
    return [
        {
            "Effect": "Allow",
            "Principal": who,
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
            "Condition": {"StringLike": {"s3:prefix": [f"{folder}/*"]}},
        },
        {
            "Effect": "Allow",
            "Principal": who,
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{folder}/*"],
        },
    ]


def bucket_policy(bucket: str, peers: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """The policy of a party's bucket; ``peers`` maps the name of each peer to its principal (an ARN)."""
    statements = [statement for peer, arn in peers.items() for statement in peer_statements(bucket, peer, arn, prefix)]
    return {"Version": "2012-10-17", "Statement": statements}


def apply(client: Minio, bucket: str, peers: Mapping[str, str], prefix: str = "") -> None:
    """Set the policy of the bucket through the S3 API. Needs the credentials of the bucket's owner."""
    client.set_bucket_policy(bucket, json.dumps(bucket_policy(bucket, peers, prefix)))


def ensure_bucket(client: Minio, bucket: str) -> None:
    """Create the bucket if it does not exist."""
    if not client.bucket_exists(bucket_name=bucket):
        client.make_bucket(bucket_name=bucket)
