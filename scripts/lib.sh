# shellcheck shell=bash
# What the scripts share. Sourced, with `set -euo pipefail` in force.

# Nothing ends without a word.
set -E
trap 'printf "error: %s failed at %s:%s\n" "$BASH_COMMAND" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those that source this
cache=$root/.cache
rust_minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
qemu_minimum=9.2

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "error: $*"; exit 1; }

# at_least HAVE WANT: whether version HAVE is WANT or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# udp_port PID: the port at which a process hears UDP on 127.0.0.1. Who is told
# port 0 takes one that is free.
udp_port() {
    local sockets
    sockets=$(readlink /proc/"$1"/fd/* | sed -n 's/^socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ')
    sockets=$(awk -v sockets=" $sockets" 'index(sockets, " " $10 " ") && $2 ~ /^0100007F:/ { print substr($2, 10) }' /proc/net/udp)
    [ -n "$sockets" ] || die "process $1 listens at no port"
    say "$((16#$sockets))"
}

# unpack_kernel VMLINUZ OUT: the kernel as an ELF file, which a hypervisor starts by PVH without unpacking anything. Linux's boot
# protocol (2.08 and later) says where it stands: sectors of set-up, and behind them the payload's place and length.
unpack_kernel() {
    local place length sectors packed
    sectors=$(od -An -t u1 -j 497 -N 1 "$1")
    read -r place length < <(od -An -t u4 -j 584 -N 8 "$1")
    place=$(((sectors + 1) * 512 + place))
    packed=$(od -An -t x1 -j "$place" -N 4 "$1" | tr -d ' ')
    # Behind the packed kernel stands its length, which is none of the stream.
    dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$place" count=$((length - 4)) status=none | case $packed in
    fd377a58) xz -dc ;;
    28b52ffd) zstd -dcq ;;
    *) die "$1 is packed in another way than xz and zstd (it begins with $packed)" ;;
    esac >"$2"
    readelf --notes --wide "$2" | grep -q 'Xen .*(0x00000012)' || die "$1 cannot be started by PVH (CONFIG_PVH)"
}

# as_root COMMAND...: runs it as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root: run as root, or install sudo: $*"
    fi
}

debian_release() { # prints 12, 13, ..., or nothing elsewhere
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && printf '%s\n' "${VERSION_ID:-}") || true
}

# The version of a program on this machine, or nothing.
qemu_version() { (qemu-system-x86_64 --version 2>/dev/null || true) | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'; }
rust_version() { (rustc --version 2>/dev/null || true) | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }

# missing_packages quickstart|appliance|test: one line `package reason` for each Debian package that is missing here.
missing_packages() {
    lacks() { ! command -v "$1" >/dev/null; }
    lacks cc && say "gcc links Rust programs and compiles zstd"
    [ -e /usr/include/stdlib.h ] || say "libc6-dev is what C programs are compiled against"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || say "ca-certificates lets cargo fetch crates"
    local version
    version=$(qemu_version)
    if [ -z "$version" ]; then
        say "qemu-system-x86 runs the guests"
    elif ! at_least "$version" "$qemu_minimum"; then
        say "qemu-system-x86 runs the guests; $version is here, $qemu_minimum is the first that shares video memory"
    fi
    lacks cpio && say "cpio packs the guest's initramfs"
    lacks xz && say "xz-utils unpacks the guest's kernel modules"
    if [ "$1" != quickstart ]; then
        lacks qemu-img && say "qemu-utils makes the appliance's disk in other formats"
        lacks zstd && say "zstd packs the appliance's initramfs"
    fi
    if [ "$1" = test ]; then
        [ -x /usr/sbin/mkfs.ext4 ] || say "e2fsprogs makes the disk on which an appliance keeps its key"
        lacks git && say "git clones what the tests of the quickstart run in"
        [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || say "ovmf is a guest without an operating system"
        [ -e /boot/memtest86+x64.efi ] || say "memtest86+ is a guest that is nobody's Linux"
        lacks xmllint && say "libxml2-utils checks the files for libvirt and the OVA"
        [ -e /usr/share/libvirt/schemas/domain.rng ] || say "libvirt0 has the schema of libvirt's domains"
        lacks shellcheck && say "shellcheck reads the scripts"
    fi
    return 0
}

# fetch_package PACKAGE: sets package_at, a folder with what is in a Debian package, its version in $package_at.version.
# Downloaded once for all that need it, and unpacked; needs no root and installs nothing.
fetch_package() {
    local all=$cache/packages
    package_at=$all/$1
    # The version is written last: a package without one was not unpacked to its end.
    [ ! -e "$package_at.version" ] || return 0
    command -v apt-get >/dev/null || die "not a Debian: set up $1 by hand, or run this in a Debian container"
    say "==> fetching $1 into ${package_at#"$root"/} (not installed; undo: rm -r .cache)"
    mkdir -p "$all"
    (cd "$all" && rm -f "$1"_*.deb && apt-get -qq -o APT::Sandbox::User=root download "$1") ||
        die "cannot fetch $1: run apt-get update as root first"
    rm -rf "$package_at"
    dpkg-deb -x "$all/$1"_*.deb "$package_at"
    dpkg-deb -f "$all/$1"_*.deb Version >"$package_at.version"
    rm -f "$all/$1"_*.deb
}

# newest_kernel_package: the package that Debian's linux-image-amd64 stands for.
newest_kernel_package() {
    apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

is_static_busybox() {
    local busybox
    busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1
}

# link_statically: from here on cargo links this workspace's programs so that they need nothing beside them, as they run in
# the appliance. One build then serves the tests on this machine and those of the appliance. Naming the target keeps the
# flag from what runs while compiling: a procedural macro cannot be linked so.
link_statically() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    case $host in *-linux-gnu) ;; *) return 0 ;; esac
    export CARGO_BUILD_TARGET=$host
    export "CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUSTFLAGS=-C target-feature=+crt-static"
}

# check_rust: explains what to do if Rust is missing or too old.
check_rust() {
    local have
    have=$(rust_version)
    if [ -n "$have" ] && at_least "$have" "$rust_minimum" && command -v cargo >/dev/null; then
        return 0
    fi
    if [ -n "$have" ]; then
        warn "Rust $have is too old: LFP needs $rust_minimum."
    else
        warn "Rust is missing: LFP needs $rust_minimum or newer."
    fi
    if [ -n "$(debian_release)" ] && at_least "$(debian_release)" 13; then
        warn "Debian 13's own packages are new enough:    apt-get install cargo rustc rustfmt rust-clippy"
        warn "(undo: apt-get purge cargo rustc rustfmt rust-clippy)"
    else
        warn "Debian 12's own package (1.63) is too old. rustup brings a new one into your home directory: its"
        warn "installer is described at https://rustup.rs    (undo: rustup self uninstall)"
    fi
    return 1
}

# install_packages PACKAGE...: installs them, saying what it does and how to undo it.
install_packages() {
    [ $# -gt 0 ] || return 0
    [ -n "$(debian_release)" ] || die "only Debian 12 and 13 are known here; install by hand: $*"
    local suite=() added=
    say "==> apt-get update"
    as_root apt-get -qq update
    case " $* " in
    *" qemu-system-x86 "*) if ! candidate_is_new_enough; then
        added=$backports_file
        add_backports
        suite=(-t "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")-backports")
    fi ;;
    esac
    local package others=()
    for package in "$@"; do
        [ "$package" = qemu-system-x86 ] && [ ${#suite[@]} -gt 0 ] || others+=("$package")
    done
    if [ ${#suite[@]} -gt 0 ]; then
        say "==> apt-get install ${suite[*]} qemu-system-x86"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${suite[@]}" \
            qemu-system-x86 >/dev/null
    fi
    if [ ${#others[@]} -gt 0 ]; then
        say "==> apt-get install ${others[*]}"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${others[@]}" \
            >/dev/null
    fi
    say "    undo: apt-get purge $* && apt-get autoremove${added:+ && rm $added}"
}

backports_file=/etc/apt/sources.list.d/lfp-backports.sources

candidate_is_new_enough() {
    local candidate
    candidate=$(apt-cache policy qemu-system-x86 | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p')
    [ -n "$candidate" ] && at_least "$candidate" "$qemu_minimum"
}

# add_backports: the backports suite from the mirror, with the key, of this machine's own Debian entry.
add_backports() {
    local codename entry uri signed
    codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    if apt-cache policy | grep -q "n=$codename-backports"; then
        return 0
    fi
    entry=$(debian_entry "$codename" | head -n 1)
    [ -n "$entry" ] || die "no entry for $codename main in /etc/apt/sources.list* to take the mirror from"
    read -r uri signed <<<"$entry"
    say "==> $backports_file: $codename-backports from $uri"
    {
        printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$codename"
        [ -z "$signed" ] || printf 'Signed-By: %s\n' "$signed"
    } | as_root tee "$backports_file" >/dev/null
    as_root apt-get -qq update
}

# debian_entry CODENAME: the mirror and key file (if one is named) of the entry for that suite, whether it is
# written in the deb822 form or in one line.
debian_entry() {
    local files=()
    mapfile -t files < <(ls "${LFP_APT_DIR:-/etc/apt}"/sources.list.d/*.sources 2>/dev/null || true)
    if [ ${#files[@]} -gt 0 ]; then
        awk -v suite="$1" '
            BEGIN { RS = ""; FS = "\n" }
            {
                uri = ""; signed = ""; hit = 0; main = 0; deb = 0
                for (i = 1; i <= NF; i++) {
                    key = tolower($i); sub(/:.*/, "", key); value = $i; sub(/^[^:]*:[ \t]*/, "", value)
                    count = split(value, words, /[ \t]+/)
                    if (key == "uris") uri = words[1]
                    if (key == "signed-by" && words[1] ~ /^\//) signed = words[1]
                    for (j = 1; j <= count; j++) {
                        if (key == "suites" && words[j] == suite) hit = 1
                        if (key == "components" && words[j] == "main") main = 1
                        if (key == "types" && words[j] == "deb") deb = 1
                    }
                }
                if (hit && main && deb && uri !~ /security/ && !found++) print uri, signed
            }' "${files[@]}"
    fi
    mapfile -t files < <(ls "${LFP_APT_DIR:-/etc/apt}"/sources.list "${LFP_APT_DIR:-/etc/apt}"/sources.list.d/*.list 2>/dev/null || true)
    if [ ${#files[@]} -gt 0 ]; then
        awk -v suite="$1" '
            $1 == "deb" {
                signed = ""
                if (match($0, /signed-by=[^] ]+/)) signed = substr($0, RSTART + 10, RLENGTH - 10)
                sub(/\[[^]]*\]/, "")
                if ($3 == suite && $0 ~ / main( |$)/ && $2 !~ /security/ && !found++) print $2, signed
            }' "${files[@]}"
    fi
}
