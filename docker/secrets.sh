#!/usr/bin/env bash
# Writes docker/secrets/<party>.env with fresh random secrets for every party, once. The folder is ignored by git.
# For each pair, the owner's file holds the secret with which its store knows the reader, and the reader's file the same one.
set -euo pipefail
cd "$(dirname "$0")"
parties="clinic laboratory notary"
if [ -e secrets ]; then
  echo "docker/secrets exists already"
  exit 0
fi
umask 077
mkdir secrets
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='; }
for party in $parties; do
  database=$(random) access="${party}-$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')" secret=$(random)
  cat > "secrets/$party.env" <<E
POSTGRES_PASSWORD=$database
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql+psycopg2://airflow:$database@$party-db/airflow
AIRFLOW__CORE__FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
AIRFLOW__API__SECRET_KEY=$(random)
AIRFLOW__API_AUTH__JWT_SECRET=$(random)
RUSTFS_ACCESS_KEY=$access
RUSTFS_SECRET_KEY=$secret
TOMBOLO_S3_ACCESS_KEY=$access
TOMBOLO_S3_SECRET_KEY=$secret
E
done
for owner in $parties; do
  for reader in $parties; do
    [ "$owner" = "$reader" ] && continue
    secret=$(random)
    echo "PEER_${reader^^}_SECRET_KEY=$secret" >> "secrets/$owner.env"
    printf '%s\n' "${owner^^}_STORE_ACCESS_KEY=$reader" "${owner^^}_STORE_SECRET_KEY=$secret" >> "secrets/$reader.env"
  done
  echo "wrote secrets/$owner.env"
done
