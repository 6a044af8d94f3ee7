# The daemons of the data path. Built from the bundles of `make images`; context: build/images/pureflash.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY . /opt/pureflash/
ENV PATH=/opt/pureflash:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENTRYPOINT ["/opt/pureflash/node"]
CMD ["/opt/pureflash/pfcli.mjs", "--help"]
