#!/bin/sh
# Add locked packages to /opt/caries, during the build of an image, and copy what is new to another folder.
#
#   add.sh requirements/dicom.txt /added
set -eu
cd /src
files() { (cd / && find opt/caries -type f -o -type l | LC_ALL=C sort); }
files > /src/before
python -m pip --python /opt/caries/bin/python install --quiet --require-hashes -r "$1"
/opt/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
  --pyproject pyproject.toml --output-file /opt/caries/sbom.cdx.json /opt/caries/bin/python
find /opt/caries/lib -type d -name tests -prune -exec rm -rf {} +
python -m compileall -q --invalidation-mode unchecked-hash /opt/caries/lib
find /opt/caries -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
mkdir "$2"
files | LC_ALL=C comm -13 /src/before - > /src/new
echo opt/caries/sbom.cdx.json >> /src/new
tar --create --directory / --files-from /src/new | tar --extract --directory "$2"
find "$2" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
