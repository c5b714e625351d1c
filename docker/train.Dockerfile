# Preprocessing, training, evaluation, tuning and export, as the user who starts it, in /work:
#
#   docker build -f docker/train.Dockerfile -t hln-tf-train .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" hln-tf-train \
#       python -m hln_tf.train --dataset sample --preset demo
#
# For NVIDIA GPUs (and `docker run --gpus all`):
#   docker build -f docker/train.Dockerfile --build-arg EXTRAS=download,plots,gpu -t hln-tf-train:gpu .
FROM python:3.11-slim-bookworm

ARG EXTRAS=download,plots
WORKDIR /src
COPY . .
# Of the versions in requirements.lock those that are needed; it has none of the extra `gpu`.
RUN pip install --no-cache-dir --constraint requirements.lock ".[${EXTRAS}]"

# Home and caches of whatever user starts it.
ENV HOME=/tmp TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /work
RUN useradd --uid 10001 --no-create-home hln && chown hln /work
USER 10001
CMD ["python", "-m", "hln_tf.train", "--help"]
