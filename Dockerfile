# The gateway. Runs as a user without rights on a read-only file system; /data is all it writes to.

FROM python:3.11-slim-bookworm AS build
WORKDIR /srv/promptgate
COPY requirements/runtime.txt requirements/
RUN python -m venv /srv/venv \
    && /srv/venv/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml ./
COPY gateway gateway
COPY admin_cli admin_cli
COPY config config
# Editable: program and config stay side by side, as in the repository.
RUN /srv/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && /srv/venv/bin/python -m compileall -q gateway admin_cli

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 promptgate \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin promptgate \
    && install -d -o promptgate -g promptgate -m 0700 /data
COPY --from=build /srv /srv
WORKDIR /srv/promptgate
# By number, so that whoever forbids root need not look names up.
USER 10001:10001
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PROMPTGATE_SERVER_HOST=0.0.0.0 \
    PROMPTGATE_STORAGE_DIRECTORY=/data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]
