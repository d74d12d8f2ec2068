import { redirect } from '@sveltejs/kit'

/** The hostnames are the first page. */
export function load(): never {
  redirect(307, '/hostnames')
}
