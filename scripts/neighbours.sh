# shellcheck shell=bash
# scripts/quickstart --appliance: two guests, and the appliance that shows them. Sourced by scripts/quickstart.
# shellcheck disable=SC2154  # root, cache, work, server, client, text, keep, accel and children are its

# The appliance, in a place of its own: `appliance/build` has its disks in .cache/appliance/out. The host's side is the same
# program as the server within.
build_appliance() {
    step "Building the appliance and lfp-server (minutes the first time) ..."
    image=$cache/quickstart
    appliance/build --out "$image" --formats raw
    server=$image/lfp-server
}

neighbours() {
    step "Booting two guests in QEMU $(qemu_version) ($accel), one machine after the other ..."
    boot one -vga std "vga=0x37a"
    boot two -vga none -device bochs-display,xres=1024,yres=768 "lfp.display=bochs"
    boot_appliance
    hold
    step "Giving the guests to the running appliance: video memory, read-only, and a port for mode and input"
    give one
    give two
    look
    tell_neighbours
}

boot_appliance() {
    local began=${EPOCHREALTIME/[.,]/} ready
    step "Booting the appliance, with a monitor and a control channel for the host's side ..."
    start appliance qemu-system-x86_64 -name lfp-quickstart-appliance -machine pc -accel "$accel" -m 256 \
        -nodefaults -display none \
        -kernel "$image/vmlinux" -initrd "$image/initramfs.cpio" -append "$(cat "$image/cmdline")" \
        -netdev user,id=net,hostfwd=udp:127.0.0.1:0-:5810 -device virtio-net-pci,netdev=net,romfile= \
        -device virtio-serial-pci -device virtio-rng-pci \
        -chardev "socket,id=lfp.control,path=$work/control,server=on,wait=off" \
        -device virtserialport,chardev=lfp.control,name=lfp.control \
        -qmp "unix:$work/appliance.qmp,server=on,wait=off" -serial "file:$work/appliance.serial"
    wait_until 300 "the appliance to serve" grep -qs 'listening on ' "$work/appliance.serial"
    ready=${EPOCHREALTIME/[.,]/}
    key=$(sed -n 's/.* fingerprint=\([a-z0-9-]*\).*/\1/p' "$work/appliance.serial" | head -n 1)
    address=127.0.0.1:$(udp_port "${children[-1]}")
    say "   It serves after $(((ready - began) / 1000)) ms, at UDP port ${address#*:} of this host. Its key has the fingerprint $key"
}

hold() {
    step "Holding the guests' monitors, which no appliance gets:"
    say "   lfp-server host --dir $work/host run --guest one=$work/one.qmp --guest two=$work/two.qmp"
    start host "$server" host --dir "$work/host" run --guest "one=$work/one.qmp" --guest "two=$work/two.qmp"
    wait_until 20 "the host's side" grep -qs '^listening on ' "$work/host.out"
}

# give GUEST: to the appliance.
give() {
    say "   lfp-server host --dir $work/host attach --appliance $work/appliance.qmp --guest $1"
    "$server" host --dir "$work/host" attach --appliance "$work/appliance.qmp" --guest "$1" 2>"$work/attach.log" |
        sed 's/^/     /' || failed "the appliance could not be given $1"
}

look() {
    local words=("$address" --server-key "$key" --state "$work/client" --json --settle 1500 --seconds 60) two code=0
    step "Looking at both, typing into one:"
    say "   client-lfp $address --server-key $key --service one --type '$text' --png quickstart-one.png"
    say "   client-lfp $address --server-key $key --service two --png quickstart-two.png"
    "$client" "${words[@]}" --service two --png "$root/quickstart-two.png" >"$work/two.json" 2>"$work/client-two.log" &
    two=$!
    "$client" "${words[@]}" --service one --type "$text"$'\n' --png "$root/quickstart-one.png" \
        >"$work/one.json" 2>"$work/client-one.log" || code=$?
    # Both have ended before anything else is said.
    wait $two || failed "the client of two failed with exit code $?"
    [ $code = 0 ] || failed "the client of one failed with exit code $code"
    was_typed one
    [ "$(keys_in two)" = 0 ] || failed "a key reached the other guest"
}

tell_neighbours() {
    cat <<EOF

What happened
  Two guests painted their screens. The appliance, a machine beside them, was given their video memory, read-only, and a narrow
  port for each, while it ran; its server showed both. What was typed reached the one guest and not the other.
                        one (VGA)                 two (bochs-display)
$(columns "picture" "$(field one width)x$(field one height)" "$(field two width)x$(field two height)")
$(columns "in" "quickstart-one.png" "quickstart-two.png")
$(columns "first picture" "$(field one first_picture_ms) ms" "$(field two first_picture_ms) ms")
$(columns "proved exact" "$(field one exact), at $(field one exact_ms) ms" "$(field two exact), at $(field two exact_ms) ms")
$(columns "keys that arrived" "$(keys_in one)" "$(keys_in two)")
$(columns "answer to a key" "$(answer_ms one) ms (median), through an emulated machine beside an emulated machine")

What to try next
EOF
    if [ "$keep" = yes ]; then
        cat <<EOF
  In another terminal, in this folder, while all of it runs:
    to=($address --server-key $key --state $work/client)
    host=(.cache/quickstart/lfp-server host --dir $work/host)
    target/release/client-lfp "\${to[@]}" --list                                          what the appliance serves
    target/release/client-lfp "\${to[@]}" --service two --type \$'hello\\n' --png look.png   types into the other guest, and looks
    "\${host[@]}" status                                                                  what the appliance has, and how it fares
    "\${host[@]}" detach --appliance $work/appliance.qmp --guest two     takes a guest away ...
    "\${host[@]}" attach --appliance $work/appliance.qmp --guest two     ... and gives it back
    cat $work/appliance.serial                                           what the appliance has said on its console
EOF
    else
        say "  scripts/quickstart --appliance --keep   the same, and it goes on running, to look around in"
    fi
    cat <<EOF
  appliance/README.md       the appliance under QEMU and libvirt, by kernel and from disk
  docs/APPLIANCE.md         how it is made, and whom it trusts
EOF
}

# columns NAME ONE TWO: a line of the table.
columns() { printf '    %-18s  %-24s  %s' "$1" "$2" "${3:-}" | sed 's/ *$//'; }
