#!/bin/sh
# Write an archive for a machine without internet: the images of the server, of the HTTPS proxy and of the profile pacs, the
# compose file, checksums, and the documents with the files that they link to.
#
#   deploy/offline-kit.sh build/offline-kit    writes caries-screen-offline.tar and its .sha256 there
#
# Set BUILD_NETWORK=host if builds have no network.
set -eu
cd "$(dirname "$0")/.."
out=$1
kit=$out/caries-screen-offline
rm -rf "$kit"
mkdir -p "$kit"
docker image inspect caries-screen:cpu >/dev/null 2>&1 || { echo "offline-kit: build the image first" >&2; exit 1; }
docker build --quiet --network="${BUILD_NETWORK:-default}" --tag caries-tls deploy/tls
docker build --quiet --network="${BUILD_NETWORK:-default}" --tag caries-orthanc deploy/orthanc
for target in dicom gateway; do
  docker build --quiet --network="${BUILD_NETWORK:-default}" --target $target --tag caries-screen:$target .
done
docker save --output "$kit/caries-screen.tar" caries-screen:cpu caries-tls caries-screen:dicom caries-screen:gateway \
  caries-orthanc
cp docker-compose.yml README.md README.ko.md CONTRIBUTING.md CHANGELOG.md SECURITY.md LICENSE "$kit/"
cp deploy/install-offline.sh "$kit/install.sh"
# Older versions of compose require the folders of all services. Files are listed one by one, since these folders may
# contain secrets: the API keys of Prometheus and the gateway, the key of a certificate.
mkdir -p "$kit/deploy/tls" "$kit/deploy/haproxy" "$kit/deploy/orthanc"
cp deploy/haproxy/Dockerfile deploy/haproxy/haproxy.cfg deploy/haproxy/unavailable.http "$kit/deploy/haproxy/"
for file in Dockerfile caries.lua orthanc.json start.py; do cp "deploy/orthanc/$file" "$kit/deploy/orthanc/"; done
cp deploy/tls/Dockerfile deploy/tls/nginx.conf deploy/tls/start.sh "$kit/deploy/tls/"
for file in prometheus.yml grafana/dashboards/caries.json grafana/provisioning/dashboards/caries.yml \
  grafana/provisioning/datasources/prometheus.yml; do
  mkdir -p "$(dirname "$kit/deploy/monitoring/$file")"
  cp "deploy/monitoring/$file" "$kit/deploy/monitoring/$file"
done
cp -r docs "$kit/docs"
cp --parents -r benchmarks/*.md training/recipes pyproject.toml "$kit/"
(cd "$kit" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > ../SHA256SUMS && mv ../SHA256SUMS SHA256SUMS)
tar --create --file "$out/caries-screen-offline.tar" --directory "$out" --sort=name --owner=0 --group=0 --numeric-owner \
  caries-screen-offline
rm -rf "$kit"
(cd "$out" && sha256sum caries-screen-offline.tar | tee caries-screen-offline.tar.sha256)
