import { createHmac } from 'node:crypto';
import type { HmacSha256 } from '../wire/auth-hmac.js';

/** The cryptography that the codecs are handed. */
export const hmacSha256: HmacSha256 = (key, data) => createHmac('sha256', key).update(data).digest();
