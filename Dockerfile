# docker build -t varve .                      (--build-arg QEMU=1: with what runs instances)
# docker run --init -p 4577:4577 -v varve:/var/lib/varve varve
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN mkdir /package && npm pack --pack-destination /package

FROM node:24-slim
ARG QEMU=0
RUN if [ "$QEMU" = 1 ]; then \
      apt-get update -qq && \
      apt-get install -y -qq --no-install-recommends qemu-system-x86 qemu-utils openssh-client && \
      rm -rf /var/lib/apt/lists/*; \
    fi
# The package for other versions of Node is left out: this image has the one that is needed.
RUN --mount=type=bind,from=build,source=/package,target=/package \
    npm install --prefix /opt/varve --ignore-scripts --omit=optional --no-audit --no-fund /package/varve-*.tgz && \
    npm cache clean --force && \
    ln -s /opt/varve/node_modules/.bin/varve /usr/local/bin/varve
RUN useradd --system --uid 10001 --home-dir /var/lib/varve --shell /usr/sbin/nologin varve && \
    install -d -o varve -g varve -m 0700 /var/lib/varve && \
    install -d -o varve -g varve /var/cache/varve
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/var/cache/varve \
    VARVE_DATA=/var/lib/varve \
    VARVE_HOST=0.0.0.0
USER varve
# What Node compiles once, for every start.
RUN node /opt/varve/node_modules/varve/dist/src/warm.js
WORKDIR /var/lib/varve
VOLUME /var/lib/varve
EXPOSE 4577
# Asks the server through the data directory.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["varve", "status"]
ENTRYPOINT ["varve"]
CMD ["serve"]
