# The command in a container, with today's TVM (Relax) and a compiler, with which it links what is exported:
#
#   docker build -t re2na .
#   docker run --rm re2na demo
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" re2na compile MODEL.onnx --calibration DATA.npz
FROM python:3.13-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ make && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.13-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[relax,plot,report,trace,images,completion]"
RUN useradd --create-home re2na
USER re2na
WORKDIR /data
ENTRYPOINT ["re2na"]
