# What the host tells beyond the kernel command line: the small disk with the label cidata. Sourced by init.sh; functions
# only.
#
# Its directory volant/ holds what the host has made of the user's data for a shell that reads no YAML:
#   names   calls of instance, hostname, env, note      steps   calls of at_boot, file, once, in their order
#   files/N, scripts/N   the content of those
# Everything but `at_boot` happens once for each instance: on a root disk, the next boot knows the instance again.

DONE=/var/lib/volant/instance
seed=
instance=
fresh=

instance() { instance=$1; }
hostname() { name=$1; }
note() { say "note: $1"; }

find_seed() {
  local block serial
  for block in /sys/block/vd*; do
    serial=
    [ -e "$block/serial" ] && read -r serial <"$block/serial"
    [ "$serial" != seed ] || seed=/dev/${block##*/}
  done
  [ -n "$seed" ] || seed=$(findfs LABEL=cidata 2>/dev/null)
}

read_seed() {
  local known=
  [ -n "$seed" ] || return 0
  load seed
  mkdir -p "$SEED"
  mount -t iso9660 -o ro,nosuid,nodev "$seed" "$SEED" || { seed=; say "cannot read the seed"; return 0; }
  [ ! -r "$SEED/volant/names" ] || . "$SEED/volant/names"
  [ ! -r "$DONE" ] || read -r known <"$DONE"
  [ "$known" = "$instance" ] || fresh=yes
}

follow_seed() {
  [ -n "$seed" ] || return 0
  [ ! -r "$SEED/volant/steps" ] || . "$SEED/volant/steps"
  if [ -n "$fresh" ]; then
    mkdir -p "${DONE%/*}"
    echo "$instance" >"$DONE"
  fi
  # Nothing that runs later finds what may be secrets.
  umount "$SEED" 2>/dev/null
}

file() { # file NUMBER MODE OWNER write|append PATH
  [ -n "$fresh" ] || return 0
  mkdir -p "${5%/*}/" && : >>"$5" && chmod "$2" "$5" || { say "cannot write $5"; return 0; }
  [ -z "$3" ] || chown "$3" "$5"
  if [ "$4" = append ]; then cat "$SEED/volant/files/$1" >>"$5"; else cat "$SEED/volant/files/$1" >"$5"; fi
}

once() { [ -z "$fresh" ] || script "$@"; }
at_boot() { script "$@"; }

script() { # script NUMBER NAME: a failure is told and does not end the boot
  cp "$SEED/volant/scripts/$1" "$STATE/script" && chmod 700 "$STATE/script"
  in_front TERM become "" "$STATE/script"
  told $? "$2"
  rm -f "$STATE/script"
}
