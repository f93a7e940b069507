import { placesContract } from '../contract/places.ts';
import { createMemoryPlaces } from './places.ts';

placesContract('memory', async (objections) => createMemoryPlaces((claim) => objections.of(claim)));
