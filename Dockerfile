# One image for the code server, the webserver and the daemon; docker-compose.yml says which is which.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DAGSTER_HOME=/opt/dagster \
    INGEST_STATE_DIR=/var/lib/dagster

RUN useradd --system --uid 10001 --create-home ingestion \
    && install -d -o ingestion -g ingestion "$DAGSTER_HOME" "$INGEST_STATE_DIR"

WORKDIR /opt/ingestion
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ingestion_assets ingestion_assets
# 1: with the library for models that judge texts (ML_SENTIMENT_ENABLED), some GB
ARG INSTALL_ML=0
RUN [ "$INSTALL_ML" = 1 ] && extras="[ml]" || extras="" \
    && pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".$extras" \
    && rm -rf build ingestion_assets

COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster/

USER ingestion
WORKDIR /opt/dagster
EXPOSE 3000 4000
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "ingestion_assets.definitions", "--location-name", "ingestion_assets"]
