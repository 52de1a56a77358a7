/** Operations of the contract that no black-box test shows yet, with what is missing. Strike off what you cover; nothing is ever added. */
export const uncovered: readonly string[] = [
  'GET /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects happy',
  'GET /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects refused',
  'PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject} happy',
  'PUT /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject} refused',
  'DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject} happy',
  'DELETE /mgm/{holdingidentityshorthash}/mutual-tls/allowed-client-certificate-subjects/{subject} refused',
  'PUT /virtualnode/{virtualnodeshortid}/db happy',
];
