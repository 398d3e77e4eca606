# One image for proxy and control; the command chooses.
FROM python:3.12-slim-bookworm AS build
WORKDIR /opt/earthflow
COPY requirements.txt requirements-build.txt pyproject.toml README.md mitm.conf ./
COPY addons addons
COPY cli cli
COPY contract contract
COPY control control
COPY rules rules
RUN python -m venv .venv \
 && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \
 && pip install --no-cache-dir --require-hashes -r requirements-build.txt \
 && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp . \
 && .venv/bin/pip install --no-cache-dir --no-deps /tmp/earthflow-*.whl

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Earthflow" org.opencontainers.image.version="2.0.0"
RUN useradd --uid 1000 --create-home earthflow \
 && install -d -o earthflow -g earthflow -m 0700 /var/lib/earthflow
COPY --from=build /opt/earthflow/.venv /opt/earthflow/.venv
ENV PATH=/opt/earthflow/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER 1000:1000
VOLUME /var/lib/earthflow
EXPOSE 8443 8080
ENTRYPOINT ["earthflow"]
CMD ["proxy"]
