# qama serve in a container: docker build -t qama . && docker compose up
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE CMakeLists.txt ./
COPY csrc csrc
COPY src src
RUN python -m venv /qama && /qama/bin/pip install --no-cache-dir ".[serve,mcp]"

FROM python:3.12-slim
COPY --from=build /qama /qama
RUN useradd --system --uid 10001 qama && mkdir /data && chown qama /data
USER qama
VOLUME /data
EXPOSE 8000
# A key is required: QAMA_API_KEY, or a file, see compose.yaml.
ENTRYPOINT ["/qama/bin/qama", "serve", "--host", "0.0.0.0"]
CMD ["/data/library"]
HEALTHCHECK --start-period=30s CMD ["/qama/bin/python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready', timeout=5)"]
