# shellcheck shell=bash
# scripts/quickstart --appliance: two guests, and the appliance that shows them. Sourced by scripts/quickstart.
# shellcheck disable=SC2154  # root, cache, work, server, client and text are its

neighbours() {
    say "   ... and the appliance (its programs are compiled once more, static) ..."
    appliance/build --formats raw
    boot one -vga std "vga=0x37a"
    boot two -vga none -device bochs-display "lfp.display=bochs"
    boot_appliance
    hold
    give one
    give two
    look
    tell_neighbours
}

boot_appliance() {
    local at=$cache/appliance/out
    port=$((20000 + RANDOM % 40000))
    say "5. Booting the appliance, with a monitor and a control channel for the host ..."
    qemu-system-x86_64 -name lfp-quickstart-appliance -machine pc -accel "${LFP_ACCEL:-tcg}" -m 256 \
        -nodefaults -display none -vga std \
        -kernel "$at/vmlinuz" -initrd "$at/initramfs" -append "$(cat "$at/cmdline") vga=0x37a" \
        -netdev "user,id=net,hostfwd=udp:127.0.0.1:$port-:5810" -device virtio-net-pci,netdev=net,romfile= \
        -device virtio-serial-pci -device virtio-rng-pci \
        -chardev "socket,id=lfp.control,path=$work/control,server=on,wait=off" \
        -device virtserialport,chardev=lfp.control,name=lfp.control \
        -qmp "unix:$work/appliance.qmp,server=on,wait=off" -serial "file:$work/appliance.serial" \
        </dev/null >"$work/appliance.log" 2>&1 &
    children+=($!)
    wait_until 120 "the appliance to serve" grep -qs 'lfp: listening on ' "$work/appliance.serial"
    key=$(sed -n 's/.* fingerprint=\([a-z0-9-]*\).*/\1/p' "$work/appliance.serial" | head -n 1)
    say "   It serves at 127.0.0.1:$port; its key has the fingerprint $key"
}

hold() {
    say "6. Holding the guests' monitors: lfp-server host run --guest one=$work/one.qmp --guest two=$work/two.qmp"
    "$server" host --dir "$work/host" run --guest "one=$work/one.qmp" --guest "two=$work/two.qmp" \
        </dev/null >"$work/host.address" 2>"$work/host.log" &
    children+=($!)
    wait_until 20 "the host's side" grep -qs '^listening on ' "$work/host.address"
}

# give GUEST: to the appliance.
give() {
    say "7. lfp-server host attach --appliance $work/appliance.qmp --guest $1"
    "$server" host --dir "$work/host" attach --appliance "$work/appliance.qmp" --guest "$1" | sed 's/^/   /'
}

look() {
    local words=(--server-key "$key" --state "$work/client" --settle 1500 --seconds 60)
    say "8. Looking at both: client-lfp 127.0.0.1:$port --service one --type '$text' --png quickstart-one.png; and at two"
    "$client" "127.0.0.1:$port" --service two "${words[@]}" --json --png "$root/quickstart-two.png" \
        >"$work/two.json" 2>"$work/two.client" &
    "$client" "127.0.0.1:$port" --service one "${words[@]}" --json --type "$text"$'\n' --png "$root/quickstart-one.png" \
        >"$work/client.json" 2>"$work/one.client" || die "the client of one failed: $(tail -n 3 "$work/one.client")"
    wait $! || die "the client of two failed: $(tail -n 3 "$work/two.client")"
    wait_until 10 "what was typed to arrive in the guest" grep -qs "^LFP-GUEST typed: $text" "$work/one.serial"
    ! grep -qs '^LFP-GUEST key' "$work/two.serial" || die "a key reached the other guest"
}

tell_neighbours() {
    cat <<EOF

What happened
  Two guests painted their screens. The appliance, a machine beside them, was given their video memory, read-only, and a narrow port
  for each, while it ran; its server showed both. What was typed reached the one guest and not the other.
    pictures            quickstart-one.png (VGA), quickstart-two.png (bochs-display)
    proved exact        $(field exact), first at $(field exact_ms) ms
    answer to a key     $(answer_ms) ms from key to pixels (median), through an emulated machine beside an emulated machine
    keys                $(grep -c '^LFP-GUEST key' "$work/one.serial") arrived in one, $(grep -c '^LFP-GUEST key' "$work/two.serial" || true) in two

What to try next
  appliance/README.md       the appliance under QEMU and libvirt, by kernel and from disk
  docs/APPLIANCE.md         how it is made, and whom it trusts

Undo
  The programs that ran here have ended. rm -r .cache target quickstart-*.png removes all that was built.
EOF
}
