#!/bin/sh
# Install the offline kit on a machine without internet: check every file, load the images, start the server.
#
#   sh install.sh               load and start
#   sh install.sh --no-start    load only
set -eu
cd "$(dirname "$0")"
fail() { echo "install: $*" >&2; exit 1; }
command -v docker >/dev/null || fail "docker is not installed"
docker info >/dev/null 2>&1 || fail "the Docker engine does not respond: check that it is running and that this user may use it"
sha256sum --check --quiet SHA256SUMS || fail "a file is damaged: copy the kit again"
docker load --quiet --input caries-screen.tar
[ "${1:-}" = --no-start ] && exit 0
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
command -v "${compose%% *}" >/dev/null || fail "docker compose is not installed"
# The images are loaded: nothing is built or pulled.
$compose up --detach --no-build caries
echo "the server is on http://127.0.0.1:${CARIES_PUBLISH:-8000}; its first API key:"
tries=60
while [ $tries -gt 0 ]; do
  key=$($compose logs --no-color caries 2>/dev/null | grep -o 'caries_[A-Za-z0-9]*_[A-Za-z0-9_-]*' | head -n 1)
  [ -n "$key" ] && break
  tries=$((tries - 1))
  sleep 1
done
[ -n "${key:-}" ] && echo "$key" || echo "(not shown: it was created at an earlier start)"
