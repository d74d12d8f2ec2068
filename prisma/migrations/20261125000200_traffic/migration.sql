-- What edges have counted, by site and hour. No foreign key: what a site served stays in the totals after it is gone.
CREATE TABLE "traffic_hour" (
    "site_id" UUID NOT NULL,
    "hour" TIMESTAMPTZ(3) NOT NULL,
    "requests" BIGINT NOT NULL DEFAULT 0,
    "bytes_out" BIGINT NOT NULL DEFAULT 0,
    "status1xx" BIGINT NOT NULL DEFAULT 0,
    "status2xx" BIGINT NOT NULL DEFAULT 0,
    "status3xx" BIGINT NOT NULL DEFAULT 0,
    "status4xx" BIGINT NOT NULL DEFAULT 0,
    "status5xx" BIGINT NOT NULL DEFAULT 0,
    "aborted" BIGINT NOT NULL DEFAULT 0,
    "refused" BIGINT NOT NULL DEFAULT 0,
    "misdirected" BIGINT NOT NULL DEFAULT 0,
    "plain" BIGINT NOT NULL DEFAULT 0,
    "tls10" BIGINT NOT NULL DEFAULT 0,
    "tls11" BIGINT NOT NULL DEFAULT 0,
    "tls12" BIGINT NOT NULL DEFAULT 0,
    "tls13" BIGINT NOT NULL DEFAULT 0,
    "resumed" BIGINT NOT NULL DEFAULT 0,
    "without_server_name" BIGINT NOT NULL DEFAULT 0,
    "http10" BIGINT NOT NULL DEFAULT 0,
    "http11" BIGINT NOT NULL DEFAULT 0,
    "http2" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "traffic_hour_pkey" PRIMARY KEY ("site_id", "hour")
);

CREATE INDEX "traffic_hour_hour_idx" ON "traffic_hour"("hour");

-- The newest batch of each edge's spool that is part of the counters.
CREATE TABLE "traffic_receipt" (
    "edge_id" UUID NOT NULL,
    "spool_id" UUID NOT NULL,
    "sequence" BIGINT NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "traffic_receipt_pkey" PRIMARY KEY ("edge_id", "spool_id")
);
