# Two stages: the first builds, the second has Python, the installed packages and nothing to build with.
FROM python:3.13-slim AS build

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY rungraph rungraph
COPY migrations migrations
RUN python -m venv /opt/rungraph && /opt/rungraph/bin/pip install --no-cache-dir '.[postgres]'

FROM python:3.13-slim

RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin rungraph \
    && install --directory --owner=rungraph --group=rungraph /data
COPY --from=build /opt/rungraph /opt/rungraph

# /data is the only place that the server writes to, so the root file system may be read-only. In a container it must
# listen on all addresses, which it does only with RUNGRAPH_API_TOKEN set.
ENV PATH=/opt/rungraph/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/data \
    RUNGRAPH_HOST=0.0.0.0 \
    RUNGRAPH_PORT=8000 \
    RUNGRAPH_DATABASE_URL=sqlite:////data/rungraph.db \
    RUNGRAPH_DATA_DIR=/data/files
WORKDIR /data
VOLUME /data
USER rungraph
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:' + os.environ['RUNGRAPH_PORT'] + '/readyz', headers={'Authorization': 'Bearer ' + os.environ.get('RUNGRAPH_API_TOKEN', '')}), timeout=4)"]

ENTRYPOINT ["rungraph"]
CMD ["serve"]
