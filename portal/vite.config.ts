/** How the pages are built: `npm run portal`. What comes out is static, so that the hub can serve it under a strict policy. */
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2023',
    // Those that know `light-dark()`: each colour stands once, and is not spelled out for older ones.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The licences of what is bundled go along with it.
    license: { fileName: 'license.md' },
    // Both would need more than `script-src 'self'` and `img-src 'self'`.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
});
