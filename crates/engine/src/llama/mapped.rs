//! What of a mapped file does nobody read any more? llama.cpp lays most weights out anew for its kernels, and goes on mapping
//! the file for the rest: until somebody else needs the memory, both would be there.

use std::ops::Range;
use std::path::Path;

use crate::gguf::Gguf;

/// Bytes of this process that are no file's: 0 where that can't be found out.
pub fn own_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = told.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    own.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Gives back the memory in which the layers of a file are mapped, where loading it took about as much memory of the process's
/// own. Whatever is read of them all the same comes back from the system's cache, page by page.
pub fn give_back(path: &Path, file: &Gguf, own: u64) {
    let layers = layers(file);
    if own >= (layers.end - layers.start) / 4 * 3 {
        forget(path, &layers);
    }
}

/// Where the layers' tensors lie. What stands around them, the vocabulary's vectors, is read from the file itself.
fn layers(file: &Gguf) -> Range<u64> {
    let tensors = file.tensors.iter().filter(|tensor| tensor.name.starts_with("blk."));
    let places = tensors.map(|tensor| {
        let start = file.data_start.saturating_add(tensor.offset);
        start..start.saturating_add(tensor.bytes().unwrap_or(0))
    });
    places.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end)).unwrap_or(0..0)
}

#[cfg(target_os = "linux")]
fn forget(path: &Path, wanted: &Range<u64>) {
    const PAGE: u64 = 4096;
    let Ok(path) = path.canonicalize() else { return };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let Some((mapped, at)) = mapping(line, &path) else { continue };
        // Whole pages of the part that is wanted.
        let from = wanted.start.max(at).next_multiple_of(PAGE);
        let to = wanted.end.min(at + (mapped.end - mapped.start)) / PAGE * PAGE;
        if from < to {
            let (start, length) = ((mapped.start + (from - at)) as usize, (to - from) as usize);
            // SAFETY: these pages map a file and can't be written: what is given back is read from it again.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }
}

/// Where a line of /proc/self/maps (address, access, offset, device, inode, path) says that a file is mapped for reading, and
/// from which of its bytes on.
#[cfg(target_os = "linux")]
fn mapping(line: &str, path: &Path) -> Option<(Range<u64>, u64)> {
    let mut parts = line.splitn(6, ' ');
    let (addresses, access, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let name = parts.nth(2)?.trim_start();
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = addresses.split_once('-')?;
    let is_it = access.starts_with("r--") && Path::new(name) == path;
    is_it.then_some((number(start)?..number(end)?, number(offset)?))
}

/// Elsewhere the system has to find out by itself.
#[cfg(not(target_os = "linux"))]
fn forget(_: &Path, _: &Range<u64>) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_with_its_place_in_the_file() {
        let path = Path::new("/models/my model.gguf");
        let line = "7f10a000-7f10c000 r--s 00001000 fe:00 1234                       /models/my model.gguf";
        assert_eq!(mapping(line, path), Some((0x7f10_a000..0x7f10_c000, 0x1000)));
        for other in [
            "7f10a000-7f10c000 rw-p 00001000 fe:00 1234                       /models/my model.gguf",
            "7f10a000-7f10c000 r--s 00001000 fe:00 1234                       /models/other.gguf",
            "7f10a000-7f10c000 rw-p 00000000 00:00 0 ",
            "",
        ] {
            assert_eq!(mapping(other, path), None, "{other}");
        }
    }

    #[test]
    fn what_is_given_back_is_read_from_the_file_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..64 * 1024_u32).flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let opened = std::fs::File::open(file.path()).unwrap();
        // SAFETY: the file is as long as is said, and stays as it is.
        let mapped = unsafe {
            use std::os::fd::AsRawFd;
            let (size, shared) = (bytes.len(), libc::MAP_SHARED | libc::MAP_POPULATE);
            let at = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, shared, opened.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::slice::from_raw_parts(at.cast::<u8>(), size)
        };
        let resident = || {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let own = maps.split(file.path().to_str().unwrap()).nth(1).unwrap().lines();
            let line = own.filter_map(|line| line.strip_prefix("Rss:")).next().unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        assert_eq!(resident(), 256);
        forget(file.path(), &(5_000..100_000));
        // Pages 2 to 23 of 64.
        assert_eq!(resident(), 256 - 22 * 4);
        assert_eq!(mapped, bytes);
    }
}
