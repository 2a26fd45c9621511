# One file, five images:
#
#   docker build .                     cpu, the default: the server with LiteRT; no shell, no package manager
#   docker build --target dicom .      the same with answers in DICOM
#   docker build --target gateway .    the same packages, for the DICOM gateway
#   docker build --target gpu .        the server with TensorFlow and NVIDIA's libraries
#   docker build --target training .   the training package
#
# Every package is locked by version and hash. The same sources and SOURCE_DATE_EPOCH give the same files.

# As in pyproject.toml; tests/deploy/test_deploy.py compares.
ARG VERSION=0.1.0

FROM python:3.11-slim AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
COPY requirements/image.txt /src/requirements/image.txt
RUN python -m venv /opt/tools && /opt/tools/bin/python -m pip install --quiet --require-hashes -r /src/requirements/image.txt

# install.sh LOCK installs the locked packages, the application, its bill of materials and reproducible bytecode into
# /opt/caries, without pip.
COPY deploy/install.sh /src/deploy/install.sh

FROM build AS store
COPY model_store /srv/model_store
# Independent of the time and umask of the checkout.
RUN chmod -R u=rwX,go=rX /srv/model_store && mkdir -p /var/lib/caries \
    && find /srv/model_store /var/lib/caries -exec touch --date "@$SOURCE_DATE_EPOCH" {} +

FROM build AS build-cpu
COPY requirements/serve.txt /src/requirements/serve.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
RUN sh /src/deploy/install.sh requirements/serve.txt

FROM build-cpu AS root-cpu
COPY deploy/rootfs.py /src/deploy/rootfs.py
RUN python /src/deploy/rootfs.py /root-cpu /opt/caries

FROM scratch AS cpu
ARG REVISION=unknown
ARG VERSION
LABEL org.opencontainers.image.title="caries-screen" \
      org.opencontainers.image.description="Finds teeth that look carious in photos of the mouth. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=root-cpu /root-cpu /
COPY --from=store /srv/model_store /srv/model_store
# A new volume takes its owner from this folder.
COPY --from=store --chown=10001:10001 /var/lib/caries /var/lib/caries
ENV PATH=/opt/caries/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    CARIES_MODEL_STORE=/srv/model_store CARIES_HOST=0.0.0.0 CARIES_KEYS=/var/lib/caries/keys.json \
    CARIES_STATE=/var/lib/caries
USER 10001
VOLUME /var/lib/caries
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["/opt/caries/bin/caries", "health"]
CMD ["/opt/caries/bin/caries", "serve"]

# What the extra `dicom` adds, on top of the layers of `cpu`.
FROM build-cpu AS build-dicom
COPY deploy/add.sh /src/deploy/add.sh
COPY requirements/dicom.txt /src/requirements/dicom.txt
RUN sh /src/deploy/add.sh requirements/dicom.txt /added

FROM cpu AS dicom
COPY --from=build-dicom /added /

FROM dicom AS gateway
ENV CARIES_GATEWAY=/var/lib/caries/gateway CARIES_GATEWAY_HOST=0.0.0.0 CARIES_GATEWAY_WEB_PORT=8104
EXPOSE 11112 8104
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["/opt/caries/bin/caries", "health", "--port", "8104"]
CMD ["/opt/caries/bin/caries", "gateway", "run"]

FROM python:3.11-slim AS base
ARG SOURCE_DATE_EPOCH=0
ARG REVISION=unknown
ARG VERSION
LABEL org.opencontainers.image.title="caries-screen" \
      org.opencontainers.image.description="Finds teeth that look carious in photos of the mouth. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A new volume takes its owner from this folder.
RUN SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH useradd --system --uid 10001 --no-create-home --home-dir /nonexistent caries \
    && install -d -o caries -g caries /var/lib/caries
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001

FROM build AS build-gpu
COPY requirements/gpu.txt /src/requirements/gpu.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
RUN sh /src/deploy/install.sh requirements/gpu.txt

FROM base AS gpu
COPY --from=store /srv/model_store /srv/model_store
COPY --from=build-gpu /opt/caries /opt/caries
ENV CARIES_RUNTIME=tensorflow CARIES_MODEL_STORE=/srv/model_store CARIES_HOST=0.0.0.0 CARIES_KEYS=/var/lib/caries/keys.json
VOLUME /var/lib/caries
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["/opt/caries/bin/caries", "health"]
CMD ["/opt/caries/bin/caries", "serve"]

FROM build AS build-training
COPY requirements/all.txt requirements/no-deps.txt /src/requirements/
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
COPY training /src/training
RUN sh /src/deploy/install.sh requirements/all.txt requirements/no-deps.txt

FROM base AS training
COPY --from=build-training /opt/caries /opt/caries
WORKDIR /var/lib/caries
ENTRYPOINT ["/opt/caries/bin/python", "-m", "training"]
CMD ["--help"]

# The default target.
FROM cpu
