import { describe } from 'vitest';
import { tellHalf } from './stories.ts';

describe('simulation, even seeds', () => tellHalf(0));
