# One image for every role. `docker build -t sealpost .`
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make perl && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p sealpost

FROM debian:bookworm-slim
# Buckets are reached over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/sealpost /usr/local/bin/sealpost
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/sealpost"]
