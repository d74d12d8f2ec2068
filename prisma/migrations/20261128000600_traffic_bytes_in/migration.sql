-- AlterTable
ALTER TABLE "traffic_hour" ADD COLUMN "bytes_in" BIGINT NOT NULL DEFAULT 0;
