/** The live configuration of a process, and what its environment sets of it. */
import { dbToAllConfig } from '../src/messages/db-to-all.config.ts';
import { createConfig, type Config, type StartValues } from '../src/shell/live-config.ts';
import type { Platform } from './platform.ts';
import type { Settings } from './settings.ts';

/** Variables that are the start values of fields: in force until an operator sets the field by REST. */
export const startValuesOf = (settings: Settings): StartValues => ({
  'corda.p2p.gateway': {
    sslConfig: {
      tlsType: settings.CORDAGE_GATEWAY_TLS === 'mutual' ? 'MUTUAL' : 'ONE_WAY',
      revocationCheck: { mode: settings.CORDAGE_GATEWAY_REVOCATION },
    },
  },
  'corda.p2p.linkManager': { keyAgreement: settings.CORDAGE_LINK_KEY_AGREEMENT },
});

export const openConfig = async ({ views, settings, log }: Pick<Platform, 'views' | 'settings' | 'log'>): Promise<Config> =>
  createConfig({ view: await views.open(dbToAllConfig), start: startValuesOf(settings), log });
