#!/usr/bin/env bash
# Writes docker/secrets/<party>.env with fresh random secrets for every party, once. The folder is ignored by git.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='; }
for party in clinic laboratory notary; do
  [ -e "secrets/$party.env" ] && { echo "secrets/$party.env exists"; continue; }
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
  echo "wrote secrets/$party.env"
done
