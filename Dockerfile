# The server with its model: no TensorFlow, no network needed at run time.
FROM python:3.11-slim AS build
COPY requirements/serve.txt /src/requirements/serve.txt
RUN python -m venv /opt/caries \
    && /opt/caries/bin/python -m pip install --no-cache-dir --require-hashes -r /src/requirements/serve.txt
COPY pyproject.toml README.md LICENSE /src/
COPY app /src/app
RUN /opt/caries/bin/python -m pip install --no-cache-dir --no-deps /src

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home caries
COPY --from=build /opt/caries /opt/caries
COPY model_store /srv/model_store
ENV CARIES_MODEL_STORE=/srv/model_store \
    CARIES_HOST=0.0.0.0 \
    PYTHONDONTWRITEBYTECODE=1
USER caries
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["/opt/caries/bin/python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["/opt/caries/bin/caries", "serve"]
