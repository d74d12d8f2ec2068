alter table edge add column https_port integer check (https_port between 1 and 65535);
