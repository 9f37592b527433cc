//! `lfp-image`: what `appliance/build` needs and no common tool does alike everywhere.

mod disk;
mod sbom;

use std::fs;
use std::process::ExitCode;

const USAGE: &str = "\
usage: lfp-image disk OUT BOOT CORE PARTITION
           a raw disk that a BIOS starts by GRUB's images BOOT and CORE, and UEFI by the file system in PARTITION
       lfp-image sbom OUT CREATED NAMESPACE PACKAGES METADATA ROOT...
           an SPDX document of the packages that the lines of PACKAGES name, and of the crates that `cargo metadata`, in
           METADATA, puts into the programs ROOT";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["disk", out, boot, core, partition] => make_disk(out, boot, core, partition),
        ["sbom", out, created, namespace, packages, metadata, ref roots @ ..] if !roots.is_empty() => {
            make_sbom(out, created, namespace, packages, metadata, roots)
        }
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lfp-image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{file}: {error}"))
}

fn write(file: &str, bytes: &[u8]) -> Result<(), String> {
    fs::write(file, bytes).map_err(|error| format!("{file}: {error}"))
}

fn make_disk(out: &str, boot: &str, core: &str, partition: &str) -> Result<(), String> {
    write(out, &disk::lay_out(&read(boot)?, &read(core)?, &read(partition)?)?)
}

fn make_sbom(
    out: &str,
    created: &str,
    namespace: &str,
    packages: &str,
    metadata: &str,
    roots: &[&str],
) -> Result<(), String> {
    let packages = String::from_utf8(read(packages)?).map_err(|error| format!("{packages}: {error}"))?;
    let metadata =
        serde_json::from_slice(&read(metadata)?).map_err(|error| format!("{metadata}: {error}"))?;
    let mut all = sbom::packages(&packages)?;
    all.extend(sbom::crates(&metadata, roots)?);
    write(out, format!("{:#}\n", sbom::document(created, namespace, all)).as_bytes())
}
