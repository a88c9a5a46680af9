//! The heap of the C library, from which dependencies and functions of users allocate.
//!
//! glibc serves large blocks by mappings of their own, which go back to the system when they are
//! freed; but each such block that is freed raises what it calls large, up to 32 MiB, and from
//! then on blocks leave holes in the heaps that it has, one for each few threads. The panels of a product
//! of matrices, 0.7 MiB each and aligned, left 47 MiB of them on one thread and 71 on eight, beside the
//! arena and counted nowhere. With a fixed limit there are 3 MiB, in the same time.

/// Blocks of so many bytes have a mapping of their own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 256 << 10;

/// Has large blocks go back to the system when they are freed, from now on and in the whole process; where the C
/// library is another one, nothing.
pub(crate) fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: `mallopt` may be called at any time, takes the lock of the heap, and this
            // parameter only chooses where later blocks lie. What it gains: see the module.
            unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        });
    }
}
