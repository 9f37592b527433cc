//! The appliance itself: it boots, by kernel and from disk, takes its configuration, and serves.

mod hostile;
mod neighbours;

use std::process::Command;

use serde_json::json;

use crate::harness::appliance::{Appliance, Start, by_drive, by_fw_cfg, services, wait_same};
use crate::harness::{Bench, Client, PATIENCE, wait_for};

/// A screen of its own, and a painter that always shows the same at the same time.
fn screen_and_idle() -> String {
    services(&[("screen", "fbdev:/dev/fb0"), ("idle", "synthetic:idle?size=320x200")]).to_string()
}

const VIRTIO: &[&str] = &["-device", "virtio-blk-pci,drive=config"];
const SCSI: &[&str] = &["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-hd,bus=scsi.0,drive=config"];

/// Boots from a disk, with its configuration at such a device, and serves the machine's own screen exactly.
fn serves_from_disk(name: &str, start: Start<'_>, config: &[&str]) {
    let bench = Bench::new();
    let mut appliance = Appliance::start(&bench, name, start, &by_drive(&bench, &screen_and_idle(), config));
    appliance.wait_line("configuration: config drive");
    appliance.wait_served();
    let mut client =
        Client::start(&bench, "client", appliance.address(), &["--service", "screen", "--seconds", "120"]);
    client.wait_picture();
    let shown = wait_same(&mut appliance, &client);
    println!("{name}: {}x{} served after {:?}", shown.width, shown.height, appliance.age());
}

#[test]
fn the_kernel_boots_and_serves_the_machine_s_own_screen() {
    let bench = Bench::new();
    let words = by_fw_cfg(&bench, &screen_and_idle());
    let mut appliance = Appliance::start(&bench, "direct", Start::Direct, &words);
    appliance.wait_line("configuration: fw_cfg");
    appliance.wait_served();
    let mut client =
        Client::start(&bench, "client", appliance.address(), &["--service", "screen", "--seconds", "120"]);
    client.wait_picture();
    println!("direct: first picture after {:?}", appliance.age());
    let shown = wait_same(&mut appliance, &client);
    assert_eq!((shown.width, shown.height), (1280, 800));
    // The other service is there as well, and proves itself.
    // It changes once a second, which the machine may take most of where it is emulated.
    let words = ["--service", "idle", "--settle", "100", "--seconds", "60"];
    assert!(Client::run(&bench, "idle", appliance.address(), &words).exact());
}

#[test]
fn the_disk_boots_by_a_bios() {
    serves_from_disk("bios", Start::Bios("raw"), SCSI);
}

#[test]
fn the_disk_boots_by_uefi() {
    serves_from_disk("uefi", Start::Uefi("raw"), VIRTIO);
}

/// The other formats are compared with the raw disk when they are made; each boots where there is time for it.
#[test]
fn every_format_boots() {
    if std::env::var_os("LFP_APPLIANCE_FORMATS").is_none() {
        println!("no format but the raw disk is booted: `scripts/test formats` boots them all");
        return;
    }
    for format in ["qcow2", "vmdk", "vhd", "vhdx", "ova"] {
        serves_from_disk(format, Start::Bios(format), VIRTIO);
        serves_from_disk(format, Start::Uefi(format), SCSI);
    }
}

#[test]
fn a_wrong_configuration_leaves_the_appliance_up_and_says_what_is_wrong() {
    let bench = Bench::new();
    let words = by_fw_cfg(&bench, r#"{"server": {}, "nettwork": "dhcp"}"#);
    let mut appliance = Appliance::start(&bench, "wrong", Start::Pvh, &words);
    appliance.wait_line("configuration (fw_cfg): \"nettwork\" is no field");
    appliance.wait_line("address: 10.0.2.15:5810");
    appliance.assert_running();
}

/// A disk, at a SATA controller, keeps the key, and the power button ends the machine in order.
#[test]
fn the_key_stays_on_the_state_disk() {
    let bench = Bench::new();
    let disk = bench.file("state.img");
    std::fs::File::create(&disk).and_then(|file| file.set_len(4 << 20)).expect("an empty disk");
    let made = Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-L", "LFP-STATE"]).arg(&disk).status();
    assert!(made.expect("mkfs.ext4: apt-get install e2fsprogs").success());
    let mut words: Vec<String> = by_fw_cfg(&bench, &screen_and_idle()).into();
    words.extend(["-drive".to_owned(), format!("if=ide,format=raw,file={}", disk.display())]);
    let mut first = Appliance::start(&bench, "first", Start::Pvh, &words);
    first.wait_line("the server's key is kept on /dev/sd");
    let fingerprint = first.fingerprint();
    first.wait_served();
    // The key is on the disk when it is first said.
    first.reset();
    wait_for("the machine to serve again", PATIENCE, || {
        (first.said().matches("listening on ").count() == 2).then_some(())
    });
    assert_eq!(first.said().matches(&format!(" fingerprint={fingerprint}")).count(), 2, "{}", first.said());
    first.power_off();
    let mut second = Appliance::start(&bench, "second", Start::Pvh, &words);
    assert_eq!(second.fingerprint(), fingerprint);
    drop(second);

    // FAT knows neither owners nor links.
    let folder = bench.file("state");
    std::fs::create_dir(&folder).expect("a folder");
    let node =
        json!({"driver": "vvfat", "node-name": "state", "dir": folder, "label": "LFP-STATE", "rw": true});
    let words = ["-blockdev", &node.to_string(), "-device", "virtio-blk-pci,drive=state"].map(str::to_owned);
    let mut fat = Appliance::start(&bench, "fat", Start::Pvh, &words);
    fat.wait_line("the server's key is kept on /dev/vd");
    fat.wait_line("the server has a new key");
    fat.wait_line("listening on ");
}
