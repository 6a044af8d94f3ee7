# The operator. Built from the bundles of `make images`; context: build/images/pureflash-operator.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY . /opt/pureflash/
USER 65532:65532
ENTRYPOINT ["/opt/pureflash/node", "/opt/pureflash/pureflash-operator.mjs"]
