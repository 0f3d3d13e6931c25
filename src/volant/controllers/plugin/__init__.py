"""Plugins: their artifacts are fetched once, kept in the cache while anybody needs them, and removed after.

    manifest ──▶ plan (pure) ──fetch──▶ artifact cache ──▶ per artifact: pending → downloading → ready | error

What it promises:

* `ready` is true only while every artifact was found in the cache: a file removed by hand is fetched again.
* A failure that may pass is tried again with backoff; one that will not (a wrong digest, a forbidden address) waits
  for another manifest, or a long while.
* A file goes with the last plugin that refers to it.
* At rest it writes nothing (L7), and an artifact that stays unobtainable is reported once (V10).

How bytes are fetched, checked and stored is the cache's business; that a plugin in use is not deleted is the API's.
"""

from volant.controllers.plugin.reconciler import ArtifactCache, PluginReconciler

__all__ = ["ArtifactCache", "PluginReconciler"]
