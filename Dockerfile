# One image for proxy and control; the command chooses.
# The base: python:3.12-slim-trixie as of 2026-08-05 (Python 3.12.13). Its digest is from
# github.com/docker-library/repo-info at 2986dca, repos/python/remote.
FROM python:3.12-slim-trixie@sha256:229a2c5bfa27522db7815ea81f9bed70af17ccb9de9fc7ad142b1877b5830d36 AS build
WORKDIR /opt/earthflow
COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip .venv \
 && pip --python .venv/bin/python install --no-cache-dir --require-hashes -r requirements.txt \
 && pip install --no-cache-dir --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md mitm.conf ./
COPY addons addons
COPY cli cli
COPY contract contract
COPY control control
COPY rules rules
COPY deploy/wheel_hook.py deploy/
# The rules come compiled, so that a first start is as quick as any other.
RUN .venv/bin/python -m rules.precompile /tmp/precompiled \
 && PRECOMPILED=/tmp/precompiled pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp . \
 && pip --python .venv/bin/python install --no-cache-dir --no-deps /tmp/earthflow-*.whl

FROM python:3.12-slim-trixie@sha256:229a2c5bfa27522db7815ea81f9bed70af17ccb9de9fc7ad142b1877b5830d36
LABEL org.opencontainers.image.title="Earthflow" \
      org.opencontainers.image.description="See, judge and record what leaves for AI providers, and what comes back" \
      org.opencontainers.image.version="2.0.0"
RUN useradd --uid 1000 --create-home earthflow \
 && install -d -o earthflow -g earthflow -m 0700 /var/lib/earthflow /var/lib/earthflow/ca
COPY --from=build /opt/earthflow/.venv /opt/earthflow/.venv
ENV PATH=/opt/earthflow/.venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /opt/earthflow
USER 1000:1000
VOLUME ["/var/lib/earthflow"]
EXPOSE 8443 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["sh", "-c", "exec python -m cli.alive ${EARTHFLOW_PORT:-8443} ${EARTHFLOW_DASHBOARD_PORT:-8080}"]
ENTRYPOINT ["earthflow"]
CMD ["proxy"]
