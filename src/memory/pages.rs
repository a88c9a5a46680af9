//! The memory that a buffer is made of: whole pages of its own, or a block of the heap.

use memmap2::MmapMut;

/// From this length on a mapping starts at a multiple of it, and its whole units are huge pages.
pub(super) const HUGE: usize = 2 << 20;
/// The alignment of every buffer: a cache line, the widest vector.
pub(super) const LINE: usize = 64;
/// What a heap block takes beyond its lines: slack to align it, and the allocator's header.
pub(super) const HEAP_OVERHEAD: usize = LINE + 16;

/// The bytes of a page; at least what direct I/O asks for.
pub(super) fn page() -> usize {
    rustix::param::page_size().max(4096)
}

/// Whole pages of anonymous memory.
pub(super) struct Range {
    map: MmapMut,
    /// Where the range starts in its mapping, which is longer where it had to be aligned; the
    /// rest is never touched and takes no memory.
    start: usize,
    len: usize,
}

impl Range {
    /// A range of `size` bytes, which are whole pages.
    pub(super) fn map(size: u64) -> std::io::Result<Range> {
        let len = usize::try_from(size).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
        if len < HUGE {
            let map = MmapMut::map_anon(len)?;
            small_pages(&map, 0, len);
            return Ok(Range { map, start: 0, len });
        }
        // Linux maps at page boundaries: this much more has an aligned range in it.
        let longer = len.checked_add(HUGE - page()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(longer)?;
        let start = map.as_ptr().align_offset(HUGE).min(longer - len);
        let huge = len - len % HUGE;
        huge_pages(&map, start, huge);
        small_pages(&map, 0, start);
        small_pages(&map, start + huge, longer - start - huge);
        Ok(Range { map, start, len })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }

    /// Where its mapping starts.
    pub(super) fn address(&self) -> usize {
        self.map.as_ptr().addr()
    }

    /// The bytes that it is accounted at.
    pub(super) fn size(&self) -> u64 {
        self.len as u64
    }

    /// The same range without memory, if it is short; else it is unmapped.
    pub(super) fn empty(self) -> Option<Range> {
        #[cfg(target_os = "linux")]
        if self.len < HUGE {
            // SAFETY: this changes the content to zeros, behind the back of no reference: the
            // mapping is private, anonymous and owned here, and any bytes are valid in it.
            let emptied = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            return emptied.is_ok().then_some(self);
        }
        None
    }
}

/// Asks for huge pages, which are faulted in three times as fast. Advice: a kernel without
/// them refuses, and all still works.
fn huge_pages(map: &MmapMut, start: usize, len: usize) {
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::HugePage, start, len);
    #[cfg(not(target_os = "linux"))]
    let _ = (map, start, len);
}

/// Refuses huge pages. The kernel joins neighbouring mappings into one area, and where huge
/// pages are always on it would back 2 MiB of that area when a single page of it is touched,
/// bytes that are counted nowhere among them.
fn small_pages(map: &MmapMut, start: usize, len: usize) {
    if len == 0 {
        return;
    }
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::NoHugePage, start, len);
    #[cfg(not(target_os = "linux"))]
    let _ = (map, start);
}

/// A block of the heap, aligned by starting a little later.
pub(super) struct Heap {
    bytes: Box<[u8]>,
    start: usize,
}

impl Heap {
    /// A block of at least `len` bytes.
    pub(super) fn new(len: usize) -> Heap {
        if len == 0 {
            return Heap { bytes: Box::default(), start: 0 };
        }
        let bytes = vec![0; len.next_multiple_of(LINE) + LINE - 1].into_boxed_slice();
        // At most LINE - 1 for bytes; the bound is for targets that cannot say.
        let start = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        Heap { bytes, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}
