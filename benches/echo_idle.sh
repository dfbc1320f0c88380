#!/usr/bin/env bash
# What idle timeouts cost the echo program: processor time a message, without them and with one
# that every message puts off.
#
#   benches/echo_idle.sh [ROUNDS [CONNECTIONS]]        needs a limit of open files above CONNECTIONS
#   benches/echo_idle.sh --instructions [CONNECTIONS]  needs valgrind
#
# The first runs both servers at once, each with all of its connections and a client of its own, of
# which one is stopped while the other works, by turns and for a second at a time. What is compared
# is the thread that serves, within such a second, to the one before and after it: connecting is not
# in it, and a machine that grows slow does so for both. Of the ratios it gives the median and an
# interval that holds it with 95 % (bootstrap).
#
# The second counts instructions of the server in user space: no noise, but no caches and no kernel.

set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}/release
cargo build --release --quiet -p wheelhouse-echo --features metrics -p wheelhouse-load

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

field() { sed -n "s/.*\"kind\":\"$2\",\"address\":\"\([^\"]*\)\".*/\1/p" "$work/$1.out"; }

# Starts a server: a name, what to run it under, its options.
serve() {
    local name=$1 under=$2
    shift 2
    # There before it is looked into.
    : >"$work/$name.out"
    # Words of their own, if any.
    # shellcheck disable=SC2086
    $under "$target/wheelhouse-echo" --tcp 127.0.0.1:0 --metrics 127.0.0.1:0 --json "$@" \
        >"$work/$name.out" 2>"$work/$name.err" &
    server=$!
    pids+=("$server")
    until [ -n "$(field "$name" metrics)" ]; do sleep 0.05; done
}

messages() {
    curl -s "http://$(field "$1" metrics)/metrics" | sed -n 's/^wheelhouse_echo_messages_total //p'
}

instructions() {
    local name=$1 connections=$2 counts=() time
    shift 2
    # The difference of a long and a short run: starting and connecting are in both.
    for time in 1ms 20s; do
        serve "$name" "valgrind --tool=callgrind --callgrind-out-file=/dev/null" "$@"
        "$target/wheelhouse-load" --connections "$connections" --duration "$time" \
            --warm-up 0s --timeout 60s "tcp://$(field "$name" tcp)" >/dev/null 2>&1 || true
        kill -TERM "$server"
        wait "$server" || true
        counts+=("$(sed -n 's/.*Collected : //p' "$work/$name.err" | tail -n 1)")
        counts+=("$(sed -n 's/.*"event":"end".*"messages":\([0-9]*\).*/\1/p' "$work/$name.out")")
    done
    awk -v a="${counts[0]}" -v b="${counts[1]}" -v c="${counts[2]}" -v d="${counts[3]}" \
        'BEGIN { printf "%.1f\n", (c - a) / (d - b) }'
}

if [ "${1:-}" = --instructions ]; then
    connections=${2:-100}
    without=$(instructions without "$connections")
    with=$(instructions with "$connections" --idle-timeout 30s)
    awk -v one="$without" -v other="$with" 'BEGIN {
        printf "instructions a message: without %.1f, with %.1f: %+.2f %%\n", one, other,
            (other / one - 1) * 100 }'
    exit
fi

rounds=${1:-20} connections=${2:-10000}
declare -A thread client
for name in without with; do
    options=()
    [ "$name" = with ] && options=(--idle-timeout 30s)
    serve "$name" "" "${options[@]}"
    for task in "/proc/$server/task/"*; do
        [ "$(cat "$task/comm")" = loop-0 ] && thread[$name]=$task
    done
    "$target/wheelhouse-load" --connections "$connections" --duration 1h --timeout 60s --quiet \
        "tcp://$(field "$name" tcp)" >"$work/$name.load" 2>&1 &
    client[$name]=$!
    pids+=("$!")
    until [ "$(messages "$name")" -gt $((connections * 2)) ]; do sleep 0.2; done
    kill -STOP "${client[$name]}"
done

# Nanoseconds of the serving thread, and messages.
look() { echo "$(cut -d' ' -f1 "${thread[$1]}/schedstat") $(messages "$1")"; }

# Nanoseconds a message in one turn.
turn() {
    local before after
    kill -CONT "${client[$1]}"
    sleep 0.2
    before=$(look "$1")
    sleep 1
    after=$(look "$1")
    kill -STOP "${client[$1]}"
    sleep 0.1
    echo "$before $after" | awk '{ printf "%.1f\n", ($3 - $1) / ($4 - $2) }'
}

for ((round = 1; round <= rounds; round++)); do
    # There and back, so that whoever comes first does so as often as the other.
    if ((round % 2)); then one=$(turn without) other=$(turn with); else
        other=$(turn with) one=$(turn without)
    fi
    echo "$one $other"
done | tee "$work/ratios" | awk '{ print "round " NR ": without " $1 " ns a message, with " $2 " ns" }'

awk '
    # Of the first n, which it sorts.
    function median(values, n,    gap, i, j, kept) {
        for (gap = int(n / 2); gap > 0; gap = int(gap / 2))
            for (i = gap + 1; i <= n; i++) {
                kept = values[i]
                for (j = i; j > gap && values[j - gap] > kept; j -= gap) values[j] = values[j - gap]
                values[j] = kept
            }
        return (values[int((n + 1) / 2)] + values[int((n + 2) / 2)]) / 2
    }
    { ratio[NR] = ($2 / $1 - 1) * 100 }
    END {
        srand(1)
        for (again = 1; again <= 2000; again++) {
            for (i = 1; i <= NR; i++) drawn[i] = ratio[int(rand() * NR) + 1]
            medians[again] = median(drawn, NR)
        }
        median(medians, 2000)
        printf "with idle timeouts: %+.2f %%, between %+.2f and %+.2f %% (95 %%, %d rounds)\n",
            median(ratio, NR), medians[50], medians[1951], NR
    }' "$work/ratios"
