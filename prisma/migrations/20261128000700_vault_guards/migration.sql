-- Nothing is sealed under a key that is gone (20261128000400_vault_keys), in the tables that came beside it.
create trigger vault_guard before insert or update of secret_sealed on dns_provider
  for each row execute function vault_guard('secret_sealed');
create trigger vault_guard before insert or update of key_sealed on certificate_request
  for each row execute function vault_guard('key_sealed');
create trigger vault_guard before insert or update of password_sealed on mail_secret
  for each row execute function vault_guard('password_sealed');
create trigger vault_guard_next before insert or update of next_key_sealed on acme_account
  for each row execute function vault_guard('next_key_sealed');
