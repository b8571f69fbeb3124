# Stage 1: production dependencies only. The optional ones are Node itself, which the base image has.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

# Stage 2: what runs. Node strips the types as it loads: there is nothing to build.
FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY proto ./proto
COPY services ./services
COPY scripts/start.ts ./scripts/start.ts
COPY scripts/start ./scripts/start
COPY edge ./edge
USER node
# Cloud Run sets PORT; 8080 is the default without it.
EXPOSE 8080
CMD ["node", "scripts/start.ts"]
