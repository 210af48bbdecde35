FROM node:24-slim AS source
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

FROM source AS build
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY jobs ./jobs
RUN npm run build

# A local Wacht to try rekeyd on; see the profile "demo" of docker-compose.yml.
FROM build AS demo
COPY test ./test
USER node
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s CMD ["node", "-e", "fetch('http://127.0.0.1:8787/_emulator/faults').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "test/emulator/main.ts", "--port", "8787"]

# No package that is left here has to run a script when it is installed.
FROM source AS production
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production REKEYD_CONFIG=/etc/rekeyd/rekeyd.yaml MALLOC_ARENA_MAX=2
WORKDIR /app
COPY package.json ./
COPY --from=production /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# `docker compose exec rekeyd-1 rekeyd status`; the first line of cli.js starts Node as the entry point below does.
RUN chmod 0755 dist/src/cli.js && ln -s /app/dist/src/cli.js /usr/local/bin/rekeyd
# What a worker writes for itself is under data_dir: /data. /keys is for the keys of applications, where all workers hand them out; /audit for the export of the audit log. The rest of the file
# system may be read-only.
RUN mkdir -m 0700 /data /keys /audit && chown node:node /data /keys /audit
VOLUME /data
USER node
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asks at the port that the config names. Run a worker that has `--no-http` with `docker run --no-healthcheck`: nothing answers there.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["rekeyd", "health"]
# As in the first line of cli.js. Memory that is not used any more is collected early, instead of after it filled the machine.
ENTRYPOINT ["node", "--max-semi-space-size=4", "--heap-growing-percent=25", "dist/src/cli.js"]
CMD ["start"]
