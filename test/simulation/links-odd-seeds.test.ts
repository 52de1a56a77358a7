import { describe } from 'vitest';
import { tellHalfOfLinks } from './link-seeds.ts';

describe('simulation of sessions, odd seeds', () => tellHalfOfLinks(1));
