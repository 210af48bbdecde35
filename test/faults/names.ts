/** What the fleet and its judge both have to know: here, so that the judge imports nothing of rekeyd's. */
export const DEPLOYMENT = '185019846023';
export const API_KEY = 'faults-api-key';
export const KEK = Buffer.alloc(32, 7);
export const KEYS_HOST = 'keys.example.com';
