# The CSI driver, and what it makes, checks, grows and mounts file systems with. Built from the bundles of `make images`; context:
# build/images/pureflash-csi.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends e2fsprogs mount util-linux xfsprogs \
 && rm -rf /var/lib/apt/lists/*
COPY . /opt/pureflash/
ENTRYPOINT ["/opt/pureflash/node", "/opt/pureflash/pureflash-csi.mjs"]
