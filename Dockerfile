# Guildhall in one image: `serve` (the default), `migrate`, `token`, `key`, `inspect`, `doctor`. How to run it: deploy/README.md.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /srv/guildhall
COPY deploy/requirements.txt /tmp/requirements.txt
# Wheels only: nothing is compiled, so what was locked is what runs. pip itself stays out of the environment.
RUN python -m venv --without-pip /opt/guildhall \
    && python -m pip --python /opt/guildhall/bin/python install --no-cache-dir --disable-pip-version-check --no-input \
        --no-deps --only-binary=:all: --require-hashes -r /tmp/requirements.txt
COPY protocol/ protocol/
COPY storage/ storage/
COPY actors/ actors/
COPY server/ server/
COPY clients/web/ clients/web/
COPY deploy/healthcheck.py ./
# The root file system is read-only where it runs, so Python's bytecode is written now.
RUN /opt/guildhall/bin/python -m compileall -q . && mkdir -p /srv/writable/data

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/guildhall/ /opt/guildhall/
COPY --from=build /srv/guildhall/ /srv/guildhall/
# Its folder data is the one that a node may write to: the SQLite file of a node that is alone. A cluster has no use for it.
COPY --from=build --chown=10001:10001 /srv/writable/ /srv/guildhall/
WORKDIR /srv/guildhall
ENV PATH=/opt/guildhall/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GUILDHALL_HOST=0.0.0.0
# By number, so that a cluster can see that it is not root without asking the image who that is.
USER 10001:10001
EXPOSE 7350 7351
STOPSIGNAL SIGTERM
# Whether the process runs, not whether it is ready: a node that has lost its database must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "/srv/guildhall/healthcheck.py"]
# No shell: the node is process 1 and gets SIGTERM itself.
ENTRYPOINT ["python", "-m", "server"]
CMD ["serve"]
