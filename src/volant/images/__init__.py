"""What guests are made of: artifacts of plugins, kernels, and the images that Volant builds itself.

    manifest url ──fetch (http, local)──▶ cache, by digest ──▶ the VMM, read-only
    Debian's kernel package ──kernel──▶ hello ──▶ vmlinux, initramfs, manifest

What it promises: a file in the cache is whole and is what its name says; nothing is fetched from where the operator did
not allow; nothing here needs root, and nothing is installed.

Deliberately absent: knowing which plugin wants what (the controller does) and starting anything.
"""
