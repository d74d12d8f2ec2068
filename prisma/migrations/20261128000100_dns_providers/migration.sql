-- Where TXT records are written for dns-01, and which we made there.
CREATE TYPE "DnsProviderKind" AS ENUM ('rfc2136', 'powerdns', 'cloudflare', 'hook', 'webhook');
CREATE TYPE "DnsRecordState" AS ENUM ('wanted', 'present', 'removing');

CREATE TABLE "dns_provider" (
    "id" UUID NOT NULL,
    "tenant_id" UUID,
    "name" TEXT NOT NULL,
    "kind" "DnsProviderKind" NOT NULL,
    "config" JSONB NOT NULL,
    "secret_sealed" BYTEA,
    "zones" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "dns_provider_pkey" PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX "dns_provider_tenant_id_name_key" ON "dns_provider"("tenant_id", "name");
-- A unique index takes nulls for different: the platform's own need one of their own.
CREATE UNIQUE INDEX "dns_provider_platform_name_key" ON "dns_provider"("name") WHERE "tenant_id" IS NULL;
ALTER TABLE "dns_provider" ADD CONSTRAINT "dns_provider_tenant_id_fkey"
    FOREIGN KEY ("tenant_id") REFERENCES "tenant"("id") ON DELETE CASCADE ON UPDATE CASCADE;
-- A program on this machine is never a tenant's.
ALTER TABLE "dns_provider" ADD CONSTRAINT "dns_provider_hook_check" CHECK ("kind" <> 'hook' OR "tenant_id" IS NULL);

CREATE TABLE "dns_record" (
    "id" UUID NOT NULL,
    "provider_id" UUID NOT NULL,
    "order_id" UUID NOT NULL,
    "hostname" TEXT NOT NULL,
    "fqdn" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "state" "DnsRecordState" NOT NULL DEFAULT 'wanted',
    "failures" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) NOT NULL,
    "problem" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "dns_record_pkey" PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX "dns_record_provider_id_fqdn_value_order_id_key"
    ON "dns_record"("provider_id", "fqdn", "value", "order_id");
CREATE INDEX "dns_record_due_at_idx" ON "dns_record"("due_at");
CREATE INDEX "dns_record_order_id_idx" ON "dns_record"("order_id");
ALTER TABLE "dns_record" ADD CONSTRAINT "dns_record_provider_id_fkey"
    FOREIGN KEY ("provider_id") REFERENCES "dns_provider"("id") ON DELETE CASCADE ON UPDATE CASCADE;
