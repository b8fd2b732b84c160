/** Why no connection to NATS came about, in words, and with what to do where the cause is known. */
export function describeConnectFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const said = error.message === '' ? error.name : error.message;
  const remedy = remedyFor(causeCode(error), said);
  return remedy === undefined ? said : `${said}; ${remedy}`;
}

/** The code of the error, or of what it was made of. */
function causeCode(error: Error): string | undefined {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if ('code' in each && typeof each.code === 'string') return each.code;
  }
  return undefined;
}

const authorityUnknown: readonly string[] = [
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
];

function remedyFor(code: string | undefined, said: string): string | undefined {
  if (code !== undefined && authorityUnknown.includes(code)) {
    return 'the certificate of the server is not of the authority in log.tls.ca';
  }
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'the certificate must name the host of log.servers, an IP address as one; is it that server?';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return 'renew the certificate of the server, or look at the clocks';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no name server knows the host: correct log.servers, or look at /etc/resolv.conf';
    case 'ENOENT':
    case 'EACCES':
      return 'a file of log.tls, or with what log authenticates, cannot be read by the user that koi runs as';
    default:
  }
  if (/authorization violation|authentication expired/i.test(said)) {
    return 'the server does not know the user, or what this node shows for it is wrong: see log.user, log.nkey, log.credentials';
  }
  if (said.includes("does not support 'tls'")) return 'give the server a certificate, or remove log.tls and tls://';
  if (/certificate required|handshake failure|bad certificate/i.test(said)) {
    return 'the server wants a certificate of this node: see log.tls.cert and log.tls.key';
  }
  if (said === 'timeout')
    return 'nothing comes from the server: is it there, and does it want a certificate (log.tls.cert)?';
  return undefined;
}
