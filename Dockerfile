# One image for every service of compose.yaml: server, worker, reward workers, studio and commands.
#   docker build --tag repic .
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE NOTICE prefect.yaml ./
COPY storage storage
COPY repic repic
COPY flows flows
# The lock is the constraint: versions and hashes are its, packages are those of the extras.
RUN python -m venv /opt/repic \
    && /opt/repic/bin/python -m pip install --no-cache-dir uv==0.13.9 \
    && /opt/repic/bin/uv pip install --no-cache --python /opt/repic/bin/python \
        --constraint requirements.lock '.[s3,dask,heic,video]' \
    && /opt/repic/bin/python -m pip uninstall --yes uv

FROM python:3.12-slim-bookworm
# OpenCV needs libGL and GLib.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1=1.6.* libglib2.0-0=2.74.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home repic \
    && install --directory --owner repic --group repic /data
COPY --from=build /opt/repic /opt/repic
ENV PATH=/opt/repic/bin:$PATH \
    DO_NOT_TRACK=1 \
    OMP_WAIT_POLICY=PASSIVE \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    REPIC_CACHE=/data/cache \
    REPIC_HOME=/data \
    REPIC_PREFECT_HOME=/data/prefect \
    REPIC_STORE=/data/store
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["repic"]
CMD ["--help"]
