# Running programs of the image and of the user. Sourced by init.sh; functions only.
#
# Each runs in the foreground of the first process, one after the other. In its background a shell would make programs
# ignore SIGINT and SIGQUIT, which are the stop signals of many. The first process meanwhile waits for any child, so that
# orphans do not stay behind as zombies.

in_front() { # in_front SIGNAL COMMAND...: run it; a stop that is asked for meanwhile sends it that signal
  local signal=$1
  shift
  (
    read -r pid _ </proc/self/stat
    echo "$pid $signal" >"$STATE/pid"
    # After that was written: an order before this line is seen here, one after it finds the process.
    [ ! -e "$STATE/order" ] || exit 0
    "$@"
  )
}

told() { # told STATUS NAME
  [ ! -e "$STATE/order" ] || leave 0
  [ "$1" = 0 ] || say "$2 ended with status $1"
}

find_program() { # find_program WORD: sets `program` to a path, or to nothing when the image has no such program
  local directory IFS=:
  program=
  case $1 in */*) program=$1; return ;; esac
  for directory in $path; do
    [ -f "$directory/$1" ] && [ -x "$directory/$1" ] && program=$directory/$1 && return
  done
}

find_home() { # find_home USER[:GROUP]: sets `home`, and makes known a number that the image has no name for
  local login id place rest
  while IFS=: read -r login _ id _ _ place rest; do
    [ "$login" = "${1%%:*}" ] || [ "$id" = "${1%%:*}" ] || continue
    [ -n "$home" ] || home=$place
    return 0
  done 2>/dev/null </etc/passwd
  case ${1%%:*} in
    *[!0-9]*) say "cannot find the user ${1%%:*} in the image" ;;
    0) echo "root:x:0:0:root:/:/bin/sh" >>/etc/passwd ;;
    *) echo "user${1%%:*}:x:${1%%:*}:${1##*:}::/:/bin/sh" >>/etc/passwd ;;
  esac
}

become() { # become USER[:GROUP] WORD...: this process becomes the program, in the workload's environment
  local owner=$1 n=$envc place=${home:-/}
  shift
  [ -n "$owner" ] || place=/root
  find_program "$1"
  if [ -z "$program" ]; then
    program=/volant/busybox
  else
    shift
  fi
  case $owner in
    '' | 0 | 0:0 | root | root:root) set -- "$program" "$@" ;;
    *) set -- /volant/busybox start-stop-daemon -S -p /volant/none -c "$owner" -a "$program" -- "$@" ;;
  esac
  while [ "$n" -gt 0 ]; do
    eval "set -- \"\$env_$n\" \"\$@\""
    n=$((n - 1))
  done
  exec /volant/busybox env -i "PATH=$path" "HOME=$place" "HOSTNAME=$name" TERM=linux \
    "VOLANT_ADDRESS=${address:-${ip%/*}}" "VOLANT_PORT=$port" "$@"
}

run_before() {
  local n=0 status command
  while [ "$n" -lt "$beforec" ]; do
    n=$((n + 1))
    eval "command=\$before_$n"
    in_front TERM become "" /bin/sh -c "$command"
    status=$?
    told "$status" "a command before the workload"
    [ "$status" = 0 ] || leave "$status"
  done
}

run_workload() {
  local n=$argc status
  [ "$argc" -gt 0 ] || { say "there is no workload"; leave 127; }
  set --
  while [ "$n" -gt 0 ]; do
    eval "set -- \"\$argv_$n\" \"\$@\""
    n=$((n - 1))
  done
  find_home "${user:-0}"
  # It may open /dev/stdout, which is the console.
  [ -z "$user" ] || chown "${user%%:*}" /dev/console 2>/dev/null
  say ready
  in_front "${stop#SIG}" start "$@"
  status=$?
  say "workload ended with status $status"
  leave "$status"
}

start() { # start WORD...
  [ -d "$cwd" ] || mkdir -p "$cwd"
  cd "$cwd" || exit 126
  exec </dev/null
  become "$user" "$@"
}
