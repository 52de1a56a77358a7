import { describe } from 'vitest';
import { tellHalfOfLinks } from './link-seeds.ts';

describe('simulation of sessions, even seeds', () => tellHalfOfLinks(0));
