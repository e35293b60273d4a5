# docker build -t cyclegan .                          CPU
# docker build -t cyclegan --build-arg EXTRAS=gpu .   GPU (run it with --gpus all)
FROM python:3.12-slim

WORKDIR /src
COPY . .
ARG EXTRAS=""
RUN pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}"

RUN useradd --create-home cyclegan \
    && mkdir -p /data /work/runs \
    && chown -R cyclegan /data /work
USER cyclegan
WORKDIR /work
ENV CYCLEGAN_DATA_DIR=/data
VOLUME ["/data", "/work/runs"]

# TensorBoard: docker run -p 6006:6006 -v ./runs:/work/runs --entrypoint tensorboard cyclegan --logdir runs --host 0.0.0.0
EXPOSE 6006

ENTRYPOINT ["cyclegan"]
CMD ["--help"]
