"""Run once beside a party's S3 store: make its bucket, apply the peer policy, and prove that it is create-only.

Reads the owner's credentials as every component does (TOMBOLO_S3_ACCESS_KEY, TOMBOLO_S3_SECRET_KEY), and the peers from
TOMBOLO_PEERS: ``name=ARN`` pairs separated by blanks.
"""

from __future__ import annotations

import os
import sys

from storage.stores import policy
from storage.stores.minio import MinioStore
from storage.stores.opening import open_store
from storage.stores.probe import check_create_only


def main(address: str) -> None:
    """Prepare the store at ``address``."""
    store = open_store(address)
    if not isinstance(store, MinioStore):
        raise SystemExit("a bucket's address is s3://...")
    peers = dict(pair.split("=", 1) for pair in os.environ.get("TOMBOLO_PEERS", "").split())
    bucket = store.config.bucket
    policy.ensure_bucket(store.client, bucket)
    policy.apply(store.client, bucket, peers, store.config.prefix)
    check_create_only(store)
    print(f"{store.url}: bucket ready, create-only, readable in part by {', '.join(sorted(peers)) or 'nobody'}")


if __name__ == "__main__":
    main(sys.argv[1])
