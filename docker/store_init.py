"""Run once beside a party's S3 store: make its bucket and its readers, apply the peer policy, and prove that it is create-only.

Reads the owner's credentials as every component does (TOMBOLO_S3_ACCESS_KEY, TOMBOLO_S3_SECRET_KEY), and the peers from
TOMBOLO_PEERS: ``name=principal`` pairs separated by blanks. The principal is what the store's policies call a user: an access key
at RustFS and MinIO, an ARN elsewhere. Where PEER_<NAME>_SECRET_KEY is set, the user is made, or given that secret, through
MinIO's admin API, which RustFS speaks too.
"""

from __future__ import annotations

import os
import sys

from minio import MinioAdmin
from minio.credentials import StaticProvider

from tombolo.storage.stores import policy
from tombolo.storage.stores.minio import MinioStore, S3Config
from tombolo.storage.stores.opening import open_store
from tombolo.storage.stores.probe import check_create_only


def add_reader(config: S3Config, access_key: str, secret_key: str) -> None:
    """Make a user at the store that has no rights of its own; the bucket's policy says what it may read."""
    owner = StaticProvider(config.access_key.get_secret_value(), config.secret_key.get_secret_value())
    MinioAdmin(endpoint=config.endpoint, credentials=owner, region=config.region, secure=config.secure).user_add(
        access_key, secret_key
    )


def main(address: str) -> None:
    """Prepare the store at ``address``."""
    store = open_store(address)
    if not isinstance(store, MinioStore):
        raise SystemExit("a bucket's address is s3://...")
    peers = dict(pair.split("=", 1) for pair in os.environ.get("TOMBOLO_PEERS", "").split())
    bucket = store.config.bucket
    policy.ensure_bucket(store.client, bucket)
    for peer, principal in peers.items():
        if secret := os.environ.get(f"PEER_{peer.upper().replace('-', '_')}_SECRET_KEY"):
            add_reader(store.config, principal, secret)
    policy.apply(store.client, bucket, peers, store.config.prefix)
    check_create_only(store)
    print(f"{store.url}: bucket ready, create-only, readable in part by {', '.join(sorted(peers)) or 'nobody'}")


if __name__ == "__main__":
    main(sys.argv[1])
