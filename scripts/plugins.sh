#!/bin/sh
# Builds the plugins of examples/plugins into .cache/volant/plugins/NAME: all of them, or those that are named. One that
# is newer than its recipe and than what builds images is left as it is. Two that build at one time wait for each other.
set -eu
cd "$(dirname "$0")/.."
OUT=.cache/volant/plugins
mkdir -p "$OUT"
exec 9>"$OUT/.lock"
flock 9

is_fresh() { # is_fresh NAME
    # Its addresses are of files here: a tree that was moved has them wrong.
    grep -qsF "file://$PWD/$OUT/" "$OUT/$1/$1.json" || return 1
    [ -z "$(find "examples/plugins/$1" src/volant/images scripts/plugins.sh -newer "$OUT/$1/$1.json" \
        ! -name '*.pyc' ! -name __pycache__ ! -name '*.md' ! -path '*/oci/*' -print -quit)" ]
}

[ "$#" -gt 0 ] || set -- $(cd examples/plugins && for recipe in */image.toml; do echo "${recipe%/image.toml}"; done)
for name; do
    [ -f "examples/plugins/$name/image.toml" ] || { echo "plugins: there is no plugin $name" >&2; exit 1; }
    is_fresh "$name" || .venv/bin/volant image build "examples/plugins/$name" --cache .cache/volant --output "$OUT/$name" >&2
    echo "$OUT/$name/$name.json"
done
