// Loads every module of both processes and ends: Node leaves what it compiled in its cache (see bin/compile-cache.mjs).
import '#chunk/thread-seal-pool.ts';
import './cli/serve.ts';
import './volume-host.ts';
