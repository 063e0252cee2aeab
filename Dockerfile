# The service, detection serve, in a container: docs/how-to/serve.md.
FROM python:3.12-slim

# The package index of PyTorch's: cpu, or one of CUDA's such as cu132; torch brings CUDA's libraries along.
ARG TORCH=cpu

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY detection detection
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/${TORCH} torch torchvision \
    && pip install --no-cache-dir '.[serve,export]' \
    && useradd --create-home service

USER service
WORKDIR /home/service
ENV PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1
VOLUME /weights
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s CMD ["python", "-c", "\
import os, urllib.request as web; \
key = {'X-API-Key': os.environ.get('LIT_SERVER_API_KEY', '')}; \
web.urlopen(web.Request('http://127.0.0.1:8000/health', headers=key), timeout=5)"]

ENTRYPOINT ["detection", "serve", "host=0.0.0.0"]
CMD ["ckpt=/weights/best.ckpt"]
