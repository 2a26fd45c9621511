#!/bin/sh
# Install lock files and the application into /opt/caries, during the build of an image.
#
#   install.sh requirements/serve.txt
#   install.sh requirements/all.txt requirements/no-deps.txt
set -eu
cd /src
python -m venv --without-pip /opt/caries
pip() { python -m pip --python /opt/caries/bin/python "$@"; }
pip install --quiet --require-hashes -r "$1"
if [ $# -gt 1 ]; then
  pip install --quiet --require-hashes --no-deps --no-build-isolation -r "$2"
fi
# Built with the setuptools of /opt/tools, so that the image needs none.
/opt/tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /src/dist .
pip install --quiet --no-deps /src/dist/*.whl
/opt/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
  --pyproject pyproject.toml --output-file /opt/caries/sbom.cdx.json /opt/caries/bin/python
# Unused files: tests of packages (17 MB); LiteRT's compilers, plugins for other processors, tools and WebGPU (31 MB);
# the second of two fonts (7 MB).
find /opt/caries/lib -type d -name tests -prune -exec rm -rf {} +
for part in aot tools vendors libLiteRtWebGpuAccelerator.so; do
  rm -rf /opt/caries/lib/python3*/site-packages/ai_edge_litert/$part
done
rm -f /opt/caries/lib/python3*/site-packages/pylopdf_fonts_ko/NotoSerif*
python -m compileall -q --invalidation-mode unchecked-hash /opt/caries/lib
find /opt/caries -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
