/** Directories that are offered by name; any other can be typed. */
export const directories = [
  { name: 'Let’s Encrypt', url: 'https://acme-v02.api.letsencrypt.org/directory' },
  { name: 'Let’s Encrypt (staging, for trials)', url: 'https://acme-staging-v02.api.letsencrypt.org/directory' },
  { name: 'ZeroSSL', url: 'https://acme.zerossl.com/v2/DV90' },
  { name: 'Google Trust Services', url: 'https://dv.acme-v02.api.pki.goog/directory' },
] as const
