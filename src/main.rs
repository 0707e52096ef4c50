//! The `nyc311` binary.

/// Batches are allocated by one thread and freed by another, in Rust and in librdkafka alike. The system's
/// allocator keeps an arena for each thread, and of what was freed most stays resident: 560 MB where this one
/// takes less than half. Building it takes as long as building librdkafka, so the demo and the tests do
/// without.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    nyc311::cli::main()
}
