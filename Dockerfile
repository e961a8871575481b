# mien serve in a container: the page, REST and WebSocket, without network access at run time.
#
#   docker build -t mien .
#   docker run --rm -p 127.0.0.1:8000:8000 -e MIEN_TOKEN=... --read-only --cap-drop ALL mien
#
# Options of `mien serve` may follow the image's name. See docs/serve.md for a proxy with TLS.

FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/mien && /opt/mien/bin/pip install --no-cache-dir '.[serve]'

FROM python:3.12-slim
COPY --from=build /opt/mien /opt/mien
RUN useradd --system --uid 10001 --no-create-home mien
USER mien
ENV PATH=/opt/mien/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
# Any address inside the container; what reaches it is decided by -p above.
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0", "--no-open"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
