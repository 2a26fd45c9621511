#!/bin/sh
# Writes one archive with everything that a machine without internet needs: image, compose file, checksums, READMEs.
#
#   deploy/offline-kit.sh build/offline-kit    writes caries-screen-offline.tar and its .sha256 there
set -eu
cd "$(dirname "$0")/.."
out=$1
kit=$out/caries-screen-offline
rm -rf "$kit"
mkdir -p "$kit"
docker image inspect caries-screen:cpu >/dev/null 2>&1 || { echo "offline-kit: build the image first" >&2; exit 1; }
docker save --output "$kit/caries-screen.tar" caries-screen:cpu
cp docker-compose.yml README.md README.ko.md LICENSE "$kit/"
cp deploy/install-offline.sh "$kit/install.sh"
# Older versions of compose look for the folders of every service, whether it is started or not.
mkdir "$kit/deploy"
cp -r deploy/tls deploy/monitoring "$kit/deploy/"
(cd "$kit" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > ../SHA256SUMS && mv ../SHA256SUMS SHA256SUMS)
tar --create --file "$out/caries-screen-offline.tar" --directory "$out" --sort=name --owner=0 --group=0 --numeric-owner \
  caries-screen-offline
rm -rf "$kit"
(cd "$out" && sha256sum caries-screen-offline.tar | tee caries-screen-offline.tar.sha256)
