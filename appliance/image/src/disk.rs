//! A disk that both kinds of firmware start, with a GUID partition table (UEFI specification 2.10, section 5.3):
//!
//! | sectors | what |
//! | --- | --- |
//! | 0 | GRUB's boot sector for a BIOS, and the protective partition |
//! | 1 to 33 | the table |
//! | 34 to 2047 | the BIOS boot partition: the rest of GRUB, which the boot sector loads |
//! | from 2048 | the EFI system partition: kernel, initramfs, GRUB for UEFI, and its menu |
//! | the last mebibyte | the table again, at its end |
//!
//! Every number on it that programs like to choose at random is fixed, so that the same parts make the same disk.

/// Bytes of a sector.
const SECTOR: usize = 512;
const TABLE_ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Sectors of the entries.
const ENTRIES: usize = TABLE_ENTRIES * ENTRY / SECTOR;
/// The first sector of the BIOS boot partition, right behind the table.
const CORE_AT: usize = 2 + ENTRIES;
/// The first sector of the EFI system partition, and the sectors behind it: a mebibyte each.
const ALIGNED: usize = 2048;

/// 21686148-6449-6E6F-744E-656564454649, as it stands on disk.
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
const EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

/// Identity of the disk and of its partitions: version 8 (RFC 9562, chosen by us), told apart by their last byte.
const fn guid(which: u8) -> [u8; 16] {
    [b'L', b'F', b'P', b'-', b'a', b'p', b'p', 0x80, 0x80, b'l', b'i', b'a', b'n', b'c', b'e', which]
}

/// Where GRUB's boot sector has the sector of what it loads, 8 bytes.
const BOOT_SECTOR_AT: usize = 0x5c;
/// Where it has a jump around the repair of a drive number that some BIOS does not give; two empty instructions there
/// have it repair.
const BOOT_DRIVE_CHECK_AT: usize = 0x66;
/// What of it is code: a disk's signature and the partitions of old follow.
const BOOT_CODE: usize = 440;
/// Where the first sector of GRUB's core has the list of the others: a sector (8 bytes), a length, a segment.
const BLOCK_LIST_AT: usize = SECTOR - 12;
/// The segment that the second sector of the core is loaded to.
const CORE_SEGMENT: u16 = 0x820;

/// Puts a disk together. `partition` is a file system; it becomes as long as it is, in whole sectors.
pub(crate) fn lay_out(boot: &[u8], core: &[u8], partition: &[u8]) -> Result<Vec<u8>, String> {
    if boot.len() != SECTOR {
        return Err(format!("the boot image has {} bytes and not {SECTOR}", boot.len()));
    }
    let core_sectors = core.len().div_ceil(SECTOR);
    if !(2..=ALIGNED - CORE_AT).contains(&core_sectors) {
        return Err(format!("GRUB's core has {core_sectors} sectors; {} have room", ALIGNED - CORE_AT));
    }
    let partition_sectors = partition.len().div_ceil(SECTOR);
    let sectors = ALIGNED + partition_sectors + ALIGNED;
    let mut disk = vec![0; sectors * SECTOR];
    put(&mut disk, 0, &boot_sector(boot, sectors));
    put(&mut disk, CORE_AT * SECTOR, core);
    let list = CORE_AT * SECTOR + BLOCK_LIST_AT;
    put(&mut disk, list, &(CORE_AT as u64 + 1).to_le_bytes());
    put(&mut disk, list + 8, &(core_sectors as u16 - 1).to_le_bytes());
    put(&mut disk, list + 10, &CORE_SEGMENT.to_le_bytes());
    put(&mut disk, ALIGNED * SECTOR, partition);
    let mut entries = vec![0; ENTRIES * SECTOR];
    put(&mut entries, 0, &entry(BIOS_BOOT, 1, CORE_AT, ALIGNED - 1, "LFP BIOS boot"));
    let last = ALIGNED + partition_sectors - 1;
    put(&mut entries, ENTRY, &entry(EFI_SYSTEM, 2, ALIGNED, last, "LFP appliance"));
    put(&mut disk, 2 * SECTOR, &entries);
    put(&mut disk, (sectors - 1 - ENTRIES) * SECTOR, &entries);
    put(&mut disk, SECTOR, &header(sectors, 1, sectors - 1, 2, &entries));
    let backup = header(sectors, sectors - 1, 1, sectors - 1 - ENTRIES, &entries);
    put(&mut disk, (sectors - 1) * SECTOR, &backup);
    Ok(disk)
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The first sector: GRUB's code, and one partition for all who do not know of GUIDs.
fn boot_sector(boot: &[u8], sectors: usize) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    put(&mut sector, 0, &boot[..BOOT_CODE]);
    put(&mut sector, BOOT_SECTOR_AT, &(CORE_AT as u64).to_le_bytes());
    put(&mut sector, BOOT_DRIVE_CHECK_AT, &[0x90, 0x90]);
    // From the second sector to the end, in terms of cylinders (as far as those go) and of sectors.
    put(&mut sector, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    put(&mut sector, 454, &1_u32.to_le_bytes());
    put(&mut sector, 458, &(sectors as u32 - 1).to_le_bytes());
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

fn entry(kind: [u8; 16], which: u8, first: usize, last: usize, name: &str) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put(&mut entry, 0, &kind);
    put(&mut entry, 16, &guid(which));
    put(&mut entry, 32, &(first as u64).to_le_bytes());
    put(&mut entry, 40, &(last as u64).to_le_bytes());
    for (at, unit) in name.encode_utf16().enumerate() {
        put(&mut entry, 56 + 2 * at, &unit.to_le_bytes());
    }
    entry
}

fn header(sectors: usize, own: usize, other: usize, entries_at: usize, entries: &[u8]) -> [u8; 92] {
    let mut header = [0; 92];
    put(&mut header, 0, b"EFI PART");
    put(&mut header, 8, &0x0001_0000_u32.to_le_bytes());
    put(&mut header, 12, &92_u32.to_le_bytes());
    let usable = (CORE_AT, sectors - 2 - ENTRIES);
    for (at, sector) in [(24, own), (32, other), (40, usable.0), (48, usable.1), (72, entries_at)] {
        put(&mut header, at, &(sector as u64).to_le_bytes());
    }
    put(&mut header, 56, &guid(0));
    put(&mut header, 80, &(TABLE_ENTRIES as u32).to_le_bytes());
    put(&mut header, 84, &(ENTRY as u32).to_le_bytes());
    put(&mut header, 88, &crc32fast::hash(entries).to_le_bytes());
    let sum = crc32fast::hash(&header);
    put(&mut header, 16, &sum.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(disk: &[u8], at: usize) -> usize {
        u64::from_le_bytes(disk[at..at + 8].try_into().unwrap()) as usize
    }

    #[test]
    fn both_tables_hold_and_name_each_other() {
        let disk = lay_out(&[1; SECTOR], &[2; 5 * SECTOR + 1], &[3; 100 * SECTOR]).unwrap();
        assert_eq!(disk.len() % (1 << 20), 100 * SECTOR);
        let sectors = disk.len() / SECTOR;
        for (own, other) in [(1, sectors - 1), (sectors - 1, 1)] {
            let at = own * SECTOR;
            let mut header = disk[at..at + 92].to_vec();
            assert_eq!(&header[..8], b"EFI PART");
            assert_eq!((number(&disk, at + 24), number(&disk, at + 32)), (own, other));
            let sum = u32::from_le_bytes(header[16..20].try_into().unwrap());
            header[16..20].fill(0);
            assert_eq!(sum, crc32fast::hash(&header));
            let entries = number(&disk, at + 72) * SECTOR;
            let entries = &disk[entries..entries + ENTRIES * SECTOR];
            assert_eq!(header[88..92], crc32fast::hash(entries).to_le_bytes());
            assert_eq!((number(entries, 32), number(entries, 40)), (34, 2047));
            assert_eq!((number(entries, ENTRY + 32), number(entries, ENTRY + 40)), (2048, 2147));
            assert!(number(&disk, at + 48) >= 2147);
        }
        assert_eq!(&disk[510..512], &[0x55, 0xaa]);
    }

    #[test]
    fn the_boot_sector_finds_the_core_and_the_core_itself() {
        let disk = lay_out(&[1; SECTOR], &[2; 5 * SECTOR + 1], &[3; SECTOR]).unwrap();
        assert_eq!(number(&disk, BOOT_SECTOR_AT), 34);
        let list = 34 * SECTOR + BLOCK_LIST_AT;
        assert_eq!(number(&disk, list), 35);
        assert_eq!(disk[list + 8..list + 12], [5, 0, 0x20, 0x08]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(lay_out(&[1; 511], &[2; 2048], &[3; 512]).is_err());
        assert!(lay_out(&[1; SECTOR], &[2; SECTOR], &[3; 512]).is_err());
        assert!(lay_out(&[1; SECTOR], &vec![2; 2 << 20], &[3; 512]).is_err());
    }
}
