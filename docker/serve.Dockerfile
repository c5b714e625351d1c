# The embedded server with the models of a directory, REST on port 8501 and gRPC on 8500:
#
#   docker build -f docker/serve.Dockerfile -t hln-tf-serve .
#   docker run --rm -v "$PWD/models:/models:ro" -p 127.0.0.1:8501:8501 -p 127.0.0.1:8500:8500 hln-tf-serve
#
# Other flags of python -m serving.serve follow the image's name, such as
#   hln-tf-serve --model_base_path /models/mine --token_file /run/secrets/token
# The health check is over plain HTTP: with TLS, `docker run --no-healthcheck`.
FROM python:3.11-slim-bookworm

WORKDIR /src
COPY . .
# Of the versions in requirements.lock those that are needed.
RUN pip install --no-cache-dir --constraint requirements.lock ".[serving]"

ENV TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /
RUN useradd --uid 10001 --no-create-home hln
USER 10001
EXPOSE 8500 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/readyz', timeout=5)"]
ENTRYPOINT ["python", "-m", "serving.serve", "--host", "0.0.0.0"]
CMD ["--model_base_path", "/models/hln"]
